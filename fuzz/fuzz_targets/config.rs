#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bro_zeromq_writer_fuzz::config(data));
