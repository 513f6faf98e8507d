//! Standard input, line by line.

use std::io::stdin;
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Returns the lines of standard input. A thread of its own reads them, which is
/// never joined: a blocked read can't be cancelled, and would keep the process from
/// ending.
pub(crate) fn lines() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    thread::spawn(move || {
        for line in stdin().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
