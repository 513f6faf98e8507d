//! Hashes one password for each line of its input, and answers with the
//! nanoseconds of processor time that it took: the counterpart of `argon2.c`.

use std::io::{BufRead as _, Write as _, stdin, stdout};

use domain::password::{Hasher, Password};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let password = Password::parse("quiet otter borrows nine lanterns").expect("a password");
    let mut hasher = Hasher::new();
    for line in stdin().lock().lines() {
        line.expect("a line of text");
        let began = processor_ns();
        let hash = hasher.hash(&password, *b"curfew measures!");
        let took = processor_ns() - began;
        let mut out = stdout().lock();
        writeln!(out, "{took} {}", hash.as_str()).expect("somebody reads");
        out.flush().expect("somebody reads");
    }
}

/// Processor time of this process so far: what else the machine does is not in it.
fn processor_ns() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
