//! `cargo run -- inbox`: the mails of the running stack.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use curfew::mails::{Mail, sent};
use curfew::{running, target};

/// Lists the mails, or prints the one with this number.
///
/// # Errors
/// When no stack is running, or there is no such mail.
pub async fn show(number: Option<usize>) -> Result<()> {
    let Some(record) = running(&target().join("local"))? else {
        bail!("no stack is running; start one with cargo run");
    };
    let mails = sent(&record.aws).await?;
    let mut out = io::stdout().lock();
    let Some(number) = number else {
        return list(&mut out, &mails);
    };
    let mail = number.checked_sub(1).and_then(|index| mails.get(index));
    let mail = mail.with_context(|| {
        let count = mails.len();
        format!("there is no mail {number}; {count} were sent")
    })?;
    writeln!(out, "From     {}", mail.source)?;
    writeln!(out, "To       {}", mail.to.join(", "))?;
    writeln!(out, "Subject  {}\n", mail.subject)?;
    write!(out, "{}", mail.body_text)?;
    Ok(())
}

fn list(out: &mut impl Write, mails: &[Mail]) -> Result<()> {
    if mails.is_empty() {
        writeln!(out, "No mail was sent yet.")?;
        return Ok(());
    }
    for (index, mail) in mails.iter().enumerate() {
        let number = index + 1;
        writeln!(out, "{number:>4}  {}  {}", mail.to.join(", "), mail.subject)?;
    }
    writeln!(out, "\ncargo run -- inbox NUMBER shows one.")?;
    Ok(())
}
