//! What may be used and reached: decided purely, by whoever asks for it.
