//! A TLS handshake that passes, in whatever pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| throughline_proxy_fuzz::handshake(input));
