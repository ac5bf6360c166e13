//! All formats at once: who wins, what is taken away, and that everything written says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| throughline_fuzz::all(input));
