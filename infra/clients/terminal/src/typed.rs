//! Standard input, line by line.

use std::io::stdin;
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The lines, until there are no more. They are read on a thread that nobody waits
/// for: a read can't be called off, and would keep the process from ending.
pub(super) fn lines() -> UnboundedReceiver<String> {
    let (say, said) = unbounded_channel();
    thread::spawn(move || {
        for line in stdin().lines() {
            let Ok(line) = line else { return };
            if say.send(line).is_err() {
                return;
            }
        }
    });
    said
}
