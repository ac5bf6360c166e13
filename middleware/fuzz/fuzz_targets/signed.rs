//! Signatures of AWS: what they cover stays as it is, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| throughline_fuzz::signed(input));
