//! A target in absolute form, and what becomes of `Host`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| throughline_proxy_fuzz::absolute(input));
