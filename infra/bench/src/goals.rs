//! The goals beside the figures of the last run of each part: the table that the
//! README has. Nothing is measured here.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;

use crate::programs::{all_functions, folder};
use crate::report::{Report, Table};

/// The programs that `start` measures beside the functions.
const NOT_FUNCTIONS: [&str; 2] = ["floor", "bench-hello"];

/// A goal, and what was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Verdict {
    what: String,
    goal: String,
    stretch: String,
    found: String,
    reached: String,
}

/// The goal is to stay at or below a limit.
struct AtMost {
    goal: f64,
    stretch: Option<f64>,
    unit: &'static str,
    decimals: usize,
}

impl AtMost {
    fn judge(&self, what: impl Into<String>, found: f64) -> Verdict {
        let Self { decimals, unit, .. } = self;
        let write = |figure: f64| format!("{figure:.decimals$}{unit}");
        let reached = match self.stretch {
            Some(stretch) if found <= stretch => "yes, and the stretch",
            _ if found <= self.goal => "yes",
            _ => "**no**",
        };
        Verdict {
            what: what.into(),
            goal: format!("≤ {}", write(self.goal)),
            stretch: self
                .stretch
                .map_or_else(String::new, |stretch| format!("≤ {}", write(stretch))),
            found: write(found),
            reached: reached.to_owned(),
        }
    }
}

/// Reads what the parts have left, and judges it.
///
/// # Errors
/// When a part was not run.
pub fn run() -> Result<()> {
    let (start, work) = (figures("start")?, figures("work")?);
    has_all(&start, "program", "start")?;
    has_all(&work, "function", "work")?;
    let mut goals = starts(&start, &work)?;
    goals.extend(hashes(&figures("hashing")?)?);
    let (peers, growth) = (figures("peers")?, figures("growth")?);
    let (end_to_end, fan_out) = (figures("end-to-end")?, figures("fan-out")?);
    // Of sessions that are alive all parts tell together.
    goals.extend(told(&peers, |goal| goal.goal != "0")?);
    goals.extend(told(&growth, |goal| goal.what.contains("calls and units"))?);
    goals.push(alive(&peers, &growth, &end_to_end, &fan_out)?);
    goals.extend(beside_a_flood(&end_to_end)?);
    let columns = ["what", "goal", "stretch", "last run", "reached"];
    let mut table = Table::new("The goals, and the last run", &columns);
    for goal in &goals {
        table.row([
            goal.what.clone(),
            goal.goal.clone(),
            goal.stretch.clone(),
            goal.found.clone(),
            goal.reached.clone(),
        ]);
    }
    Report::new("goals", goals, vec![table]).publish()
}

/// What a part has left.
fn figures(part: &str) -> Result<Value> {
    let file = folder().join(format!("{part}.json"));
    let text = fs::read_to_string(&file)
        .with_context(|| format!("there are no figures: run `cargo run -p bench -- {part}`"))?;
    let mut report: Value = serde_json::from_str(&text).context(format!("{part}.json"))?;
    Ok(report["figures"].take())
}

/// A goal is one of every function: a run of some of them says nothing of it.
fn has_all(figures: &Value, by: &str, part: &str) -> Result<()> {
    let measured = list(figures)?;
    for name in all_functions()? {
        if !measured.iter().any(|it| it[by] == *name) {
            bail!("the last `-- {part}` left {name} out: run it for all functions");
        }
    }
    Ok(())
}

fn number(of: &Value, name: &str) -> Result<f64> {
    of[name].as_f64().with_context(|| format!("no {name}"))
}

fn text<'a>(of: &'a Value, name: &str) -> Result<&'a str> {
    of[name].as_str().with_context(|| format!("no {name}"))
}

fn list(of: &Value) -> Result<&Vec<Value>> {
    of.as_array().context("figures of another version")
}

/// The one that has the most of something, and how much.
fn most<'a>(
    of: impl IntoIterator<Item = &'a Value>,
    by: &str,
    figure: &str,
) -> Result<(&'a str, f64)> {
    let mut found: Option<(&str, f64)> = None;
    for it in of {
        let much = number(it, figure)?;
        if found.is_none_or(|(_, most)| much > most) {
            found = Some((text(it, by)?, much));
        }
    }
    found.context("nothing was measured")
}

fn starts(start: &Value, work: &Value) -> Result<Vec<Verdict>> {
    const HASH: [&str; 3] = ["change-password", "login", "register"];
    let hashes = |it: &&Value, by: &str| it[by].as_str().is_some_and(|it| HASH.contains(&it));
    let is_function = |it: &&Value| {
        let name = it["program"].as_str();
        name.is_some_and(|name| !NOT_FUNCTIONS.contains(&name))
    };
    let functions: Vec<&Value> = list(start)?.iter().filter(is_function).collect();
    let (hashing, others): (Vec<&Value>, Vec<&Value>) =
        functions.iter().partition(|it| hashes(it, "program"));
    let mut goals = Vec::new();
    for (what, figure, scale, at_most) in [
        (
            "init / static floor",
            "init_of_floor",
            1.0,
            AtMost {
                goal: 2.5,
                stretch: Some(1.8),
                unit: "",
                decimals: 1,
            },
        ),
        (
            "instructions from the start to the first answer",
            "instructions",
            1e6,
            AtMost {
                goal: 2.5,
                stretch: Some(2.0),
                unit: " M",
                decimals: 2,
            },
        ),
        (
            "binary",
            "binary_bytes",
            1e6,
            AtMost {
                goal: 6.0,
                stretch: Some(4.0),
                unit: " MB",
                decimals: 2,
            },
        ),
        (
            "zip",
            "zip_bytes",
            1e6,
            AtMost {
                goal: 2.6,
                stretch: Some(2.0),
                unit: " MB",
                decimals: 2,
            },
        ),
        (
            "resident memory when idle",
            "resident_bytes",
            1e6,
            AtMost {
                goal: 8.0,
                stretch: None,
                unit: " MB",
                decimals: 1,
            },
        ),
    ] {
        for (those, group) in [(&others, "that don't hash"), (&hashing, "that hash")] {
            let those = those.iter().copied();
            // The goal of instructions is one of functions that have tables.
            let those = those.filter(|it| figure != "instructions" || it["program"] != "api");
            let (name, much) = most(those, "program", figure)?;
            let what = format!("{what}: the most of those {group} (`{name}`)");
            goals.push(at_most.judge(what, much / scale));
        }
    }
    let hashing = list(work)?.iter().filter(|it| hashes(it, "function"));
    let (name, much) = most(hashing, "function", "resident_bytes")?;
    let at_most = AtMost {
        goal: 32.0,
        stretch: None,
        unit: " MB",
        decimals: 1,
    };
    let what = format!("resident memory after 100 hashes: the most (`{name}`)");
    goals.push(at_most.judge(what, much / 1e6));
    Ok(goals)
}

fn hashes(hashing: &Value) -> Result<Vec<Verdict>> {
    let of_reference = AtMost {
        goal: 1.75,
        stretch: None,
        unit: "",
        decimals: 2,
    };
    let first = AtMost {
        goal: 1.2,
        stretch: None,
        unit: "",
        decimals: 2,
    };
    let mut goals = vec![of_reference.judge(
        "Argon2id / the reference in C, built for this processor",
        number(hashing, "of_reference")?,
    )];
    if let Some(ratio) = hashing["of_reference_with_avx2"].as_f64() {
        let what = "Argon2id / the reference in C, with AVX2, which is what the crate has";
        goals.push(of_reference.judge(what, ratio));
    }
    goals.push(first.judge(
        "first hash after a start, in the buffer that was made / a steady one",
        number(hashing, "first_of_steady")?,
    ));
    Ok(goals)
}

/// Goals that a part has judged by itself.
fn told(figures: &Value, is_told: impl Fn(&Verdict) -> bool) -> Result<Vec<Verdict>> {
    let goal = |it: &Value| -> Result<Verdict> {
        let reached = match (it["reached"].as_str(), it["holds"].as_bool()) {
            (Some("stretch"), _) => "yes, and the stretch",
            (Some(said), _) if !said.eq_ignore_ascii_case("no") => said,
            (None, Some(true)) => "yes",
            _ => "**no**",
        };
        Ok(Verdict {
            what: text(it, "what")?.to_owned(),
            goal: it["goal"].as_str().unwrap_or_default().to_owned(),
            stretch: it["stretch"].as_str().unwrap_or_default().to_owned(),
            found: text(it, "found")?.to_owned(),
            reached: reached.to_owned(),
        })
    };
    let goals: Result<Vec<Verdict>> = list(&figures["verdicts"])?.iter().map(goal).collect();
    Ok(goals?.into_iter().filter(is_told).collect())
}

/// The sessions of Curfew that were let in after their end, of every part that tries
/// that.
fn alive(peers: &Value, growth: &Value, end_to_end: &Value, fan_out: &Value) -> Result<Verdict> {
    let mut tried = Vec::new();
    for it in list(&growth["operations"])? {
        tried.push(number(it, "alive_that_should_be_dead")?);
    }
    for it in list(&peers["left"])?
        .iter()
        .filter(|it| it["who"] == "curfew")
    {
        tried.push(number(it, "alive")?);
    }
    for it in list(&peers["races"])?.iter().filter(|it| it[0] == "curfew") {
        tried.push(number(&it[1], "alive")?);
    }
    for it in list(&end_to_end["rounds"]["after"])? {
        tried.push(number(&it[2], "let_in")?);
    }
    tried.push(number(&end_to_end["rounds"]["busy"]["after"], "let_in")?);
    for it in list(&end_to_end["flood"]["conditions"])? {
        tried.push(number(it, "let_in")?);
    }
    for it in list(fan_out)? {
        tried.push(number(it, "alive")?);
    }
    let alive: f64 = tried.iter().sum();
    let what = format!(
        "sessions alive that should be dead, in {} counts",
        tried.len()
    );
    let none = AtMost {
        goal: 0.0,
        stretch: None,
        unit: "",
        decimals: 0,
    };
    Ok(Verdict {
        goal: "0".to_owned(),
        ..none.judge(what, alive)
    })
}

fn beside_a_flood(end_to_end: &Value) -> Result<Vec<Verdict>> {
    let conditions = list(&end_to_end["flood"]["conditions"])?;
    let ratio = |beside: &str| {
        let condition = conditions.iter().find(|it| it["beside"] == beside);
        number(condition.context("no such condition")?, "sign_out_ratio")
    };
    let (reserved, unreserved) = (ratio("flood_reserved")?, ratio("flood_unreserved")?);
    let at_most = AtMost {
        goal: 2.5,
        stretch: Some(2.0),
        unit: "",
        decimals: 1,
    };
    let what = "p99 of a sign-out beside a flood of sign-ins / without, one hash at a time";
    Ok(vec![
        at_most.judge(what, reserved),
        Verdict {
            what: "… and without the reservation".to_owned(),
            goal: "worse".to_owned(),
            stretch: String::new(),
            found: format!("{unreserved:.1}"),
            reached: if unreserved > reserved {
                "yes"
            } else {
                "**no**"
            }
            .to_owned(),
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AT_MOST: AtMost = AtMost {
        goal: 2.5,
        stretch: Some(2.0),
        unit: " M",
        decimals: 1,
    };

    #[test]
    fn a_goal_is_reached_up_to_its_limit_and_not_beyond() {
        for (found, reached) in [
            (2.0, "yes, and the stretch"),
            (2.1, "yes"),
            (2.5, "yes"),
            (2.6, "**no**"),
        ] {
            assert_eq!(AT_MOST.judge("it", found).reached, reached, "{found}");
        }
        let goal = AT_MOST.judge("it", 2.6);
        assert_eq!((&*goal.goal, &*goal.found), ("≤ 2.5 M", "2.6 M"));
    }

    #[test]
    fn the_worst_function_is_the_one_that_is_judged() {
        let program = |name: &str, much: f64| {
            json!({
                "program": name, "init_of_floor": much, "instructions": 1_000_000,
                "binary_bytes": 1, "zip_bytes": 1, "resident_bytes": 1,
            })
        };
        let start = json!([
            program("floor", 9.0),
            program("session", 1.0),
            program("sweep", 2.0),
            program("login", 3.0),
        ]);
        let work = json!([{ "function": "login", "resident_bytes": 33_000_000 }]);
        let goals = starts(&start, &work).unwrap();
        let reached: Vec<_> = goals.iter().map(|goal| &*goal.reached).collect();
        assert!(goals[0].what.contains("`sweep`"), "{}", goals[0].what);
        assert_eq!(reached[..2], ["yes", "**no**"]);
        assert_eq!(*reached.last().unwrap(), "**no**");
    }

    #[test]
    fn what_a_part_has_judged_is_taken_as_it_is() {
        let figures = json!({ "verdicts": [
            { "what": "a", "found": "1", "goal": "0", "stretch": "", "reached": "NO" },
            { "what": "b", "found": "0", "holds": true },
            { "what": "c", "found": "2", "reached": "stretch" },
            { "what": "left out", "found": "3", "holds": true },
        ]});
        let told = told(&figures, |goal| goal.what != "left out").unwrap();
        let reached: Vec<_> = told.iter().map(|goal| &*goal.reached).collect();
        assert_eq!(reached, ["**no**", "yes", "yes, and the stretch"]);
    }

    #[test]
    fn one_session_that_is_alive_anywhere_is_one_too_many() {
        let peers = |alive: u32| {
            json!({
                "left": [{ "who": "curfew", "alive": 0 }, { "who": "better_auth", "alive": 9 }],
                "races": [["curfew", { "alive": alive }]],
            })
        };
        let growth = json!({ "operations": [{ "alive_that_should_be_dead": 0 }] });
        let end_to_end = json!({
            "rounds": {
                "after": [["local", "session", { "let_in": 0 }]],
                "busy": { "before": { "let_in": 7 }, "after": { "let_in": 0 } },
            },
            "flood": { "conditions": [{ "let_in": 0 }] },
        });
        let fan_out = json!([{ "alive": 0 }]);
        for (alive_in_a_race, reached) in [(0, "yes"), (1, "**no**")] {
            let peers = peers(alive_in_a_race);
            let verdict = alive(&peers, &growth, &end_to_end, &fan_out).unwrap();
            assert_eq!(verdict.found, alive_in_a_race.to_string());
            assert_eq!(verdict.reached, reached);
            assert!(verdict.what.contains("7 counts"), "{}", verdict.what);
        }
    }
}
