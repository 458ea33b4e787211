//! The components that are measured.

use std::path::PathBuf;

/// The pair of the `call` bench.
pub(crate) struct Guests {
    /// Exports `run-add` and `run-greet`, which loop over calls of the callee.
    pub(crate) caller: PathBuf,
    /// Exports `add` and `greet`.
    pub(crate) callee: PathBuf,
}

/// The two components of the `call` bench.
pub(crate) fn calc() -> Guests {
    Guests {
        caller: test_guests::CALC_CALLER.into(),
        callee: test_guests::CALC_CALLEE.into(),
    }
}

/// A WASI 0.2 HTTP handler that answers `/hello`.
pub(crate) fn http_p2() -> PathBuf {
    test_guests::HTTP_P2.into()
}

/// The same for WASI 0.3.
pub(crate) fn http_p3() -> PathBuf {
    test_guests::HTTP_P3.into()
}
