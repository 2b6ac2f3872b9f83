#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bpffuse_fuzz::run("value_text", data));
