//! Hashes one password for each line of its input, and answers with the
//! nanoseconds that it took: the counterpart of `argon2.c`.

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::time::Instant;

use domain::password::{Hasher, Password};

fn main() {
    let password = Password::parse("quiet otter borrows nine lanterns").expect("a password");
    let mut hasher = Hasher::new();
    for line in stdin().lock().lines() {
        line.expect("a line of text");
        let began = Instant::now();
        let hash = hasher.hash(&password, *b"curfew measures!");
        let took = began.elapsed().as_nanos();
        let mut out = stdout().lock();
        writeln!(out, "{took} {}", hash.as_str()).expect("somebody reads");
        out.flush().expect("somebody reads");
    }
}
