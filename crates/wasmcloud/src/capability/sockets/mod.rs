//! Sockets of guests: the network inside a workload, and the ports that are published from it.

pub mod network;
