//! The output of the story, and the count of its checks.

use std::fmt::{Debug, Display};
use std::io::{Write, stdout};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::story::Story;
use crate::topic::contains;

impl Story<'_> {
    /// Prints the title of the next step.
    pub fn begin_step(&mut self, title: &str) {
        self.step += 1;
        line(&format!("{:>2}  {title}", self.step));
    }

    /// Prints a line of the step.
    #[expect(clippy::unused_self, reason = "a line belongs to a step")]
    pub fn say(&self, text: impl Display) {
        line(&format!("      {text}"));
    }

    /// Prints a line of the step with `--verbose`.
    pub fn detail(&self, text: impl Display) {
        if self.settings.verbose {
            self.say(text);
        }
    }

    /// Counts a check, which passes when both values are equal.
    #[expect(clippy::needless_pass_by_value, reason = "callers compare temporaries")]
    pub fn check<T: PartialEq + Debug>(&mut self, claim: impl Display, got: T, expected: T) {
        if got == expected {
            self.passed += 1;
            self.detail(format!("✓ {claim}"));
        } else {
            self.fail(format!("{claim}: got {got:?}, expected {expected:?}"));
        }
    }

    /// Counts a check, which passes when `got` has every expected member.
    pub fn check_members(&mut self, claim: impl Display, got: &Value, expected: &Value) {
        let got = if contains(got, expected) {
            expected
        } else {
            got
        };
        self.check(claim, got, expected);
    }

    /// Counts a failed check.
    pub fn fail(&mut self, text: String) {
        self.say(format!("✗ {text}"));
        self.failed.push(text);
    }

    /// Prints the summary. Returns an error when a check failed.
    pub fn close(self) -> Result<()> {
        let all = self.passed + self.failed.len();
        if self.failed.is_empty() {
            let took = self.begun.elapsed().as_secs_f64();
            line(&format!("All {all} checks passed in {took:.1} s."));
            return Ok(());
        }
        for text in &self.failed {
            line(&format!("✗ {text}"));
        }
        let logs = self.settings.logs.display();
        line(&format!("The logs of the functions are in {logs}"));
        bail!("{} of {all} checks failed", self.failed.len())
    }
}

fn line(text: &str) {
    // The reader may have gone; the story still clears up at its end.
    let _ = writeln!(stdout().lock(), "{text}");
}

/// Hides the secrets among the members of a body.
pub fn without_secrets(mut body: Value) -> Value {
    for (name, value) in body.as_object_mut().into_iter().flatten() {
        let is = |secret: &&str| name.ends_with(secret);
        if value.is_string() && ["password", "token", "device_key"].iter().any(is) {
            *value = "…".into();
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::without_secrets;

    #[test]
    fn secrets_are_hidden() {
        let body = json!({ "current_password": "a", "token": "b", "keep_current": true });
        let hidden = json!({ "current_password": "…", "token": "…", "keep_current": true });
        assert_eq!(without_secrets(body), hidden);
    }
}
