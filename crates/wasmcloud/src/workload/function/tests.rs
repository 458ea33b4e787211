//! Names of functions, and arguments in WAVE.
