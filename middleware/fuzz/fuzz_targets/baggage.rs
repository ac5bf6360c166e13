//! W3C `baggage`: what was read and is written again reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline::propagation::Format;

fuzz_target!(|input: &[u8]| throughline_fuzz::codec(Format::Baggage, input));
