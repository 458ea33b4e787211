//! With what a registry is asked: credentials, and where they come from.

mod credentials;
mod file;
mod helper;
mod keychain;
#[cfg(test)]
mod tests;

pub use credentials::{Credentials, SecretText};
pub use file::{AuthFile, AuthFileProblem};
pub use helper::HelperProblem;
pub use keychain::{AccessError, AccessProblem, Found, Keychain, Origin};
