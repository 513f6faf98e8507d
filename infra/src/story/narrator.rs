//! Who tells the story: calls for the devices, listens to the topic, and compares
//! what came with what should have come.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Result;
use curfew::Record;
use http_api::{DeviceView, SignOutView, Status};
use tokio::time::{Instant, timeout_at};

use crate::story::device::{Answer, Call, Device, Household};
use crate::story::event::{Event, Expected};
use crate::story::page::{Page, Row, shown};
use crate::story::subscription::Subscription;

/// How long an event may take. It takes a second, or a few when functions start
/// on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same, once one has not come: the rest of the story should not take long.
const LITTLE_PATIENCE: Duration = Duration::from_secs(3);

/// Who tells of events.
const SNS: &str = "SNS";

/// Tells the story, from the first line to the last.
pub struct Narrator {
    page: Page,
    api_url: String,
    logs: String,
    subscription: Subscription,
    /// The events of the household that were told already.
    heard: Vec<Event>,
    patience: Duration,
}

impl Narrator {
    /// Begins to listen, and writes the first lines.
    ///
    /// # Errors
    /// When the topic can't be listened to.
    pub async fn begin(record: &Record) -> Result<Self> {
        let subscription = Subscription::begin(record).await?;
        let page = Page::new();
        page.title("Curfew sends every device home");
        page.remark(&format!("API    {}", record.api_url));
        page.remark(&format!("Topic  {}", record.topic_arn));
        Ok(Self {
            page,
            api_url: record.api_url.clone(),
            logs: record.logs.display().to_string(),
            subscription,
            heard: Vec::new(),
            patience: PATIENCE,
        })
    }

    /// Takes away what the story made, and sums up.
    ///
    /// # Errors
    /// When the story did not come to its end, when something in it was not as
    /// it should be, or when something is left behind.
    pub async fn end(self, told: Result<()>) -> Result<()> {
        let Self {
            mut page,
            subscription,
            logs,
            ..
        } = self;
        if let Err(error) = told {
            page.failed("The story goes on to its end", format!("{error:#}"));
        }
        if let Err(error) = subscription.end().await {
            page.failed("The story leaves nothing behind", format!("{error:#}"));
        }
        page.close(&logs)
    }

    /// Begins the next step.
    pub fn step(&mut self, title: &str) {
        self.page.step(title);
    }

    /// Calls the API from a device, and shows what was called and what came back.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn call(&self, device: &Device, call: Call) -> Result<Answer> {
        let mut details = Vec::new();
        if call.is_sign_in() {
            details.push(format!("User-Agent: {}", device.user_agent));
            let hints = device.hints.iter();
            details.extend(hints.map(|(name, value)| format!("{name}: {value}")));
        }
        details.extend(call.body());
        self.page.called(device.role, &call.line(), &details);
        let answer = device.call(&self.api_url, &call).await?;
        self.page
            .answered(answer.status, answer.took, &answer.essentials());
        Ok(answer)
    }

    /// Compares what came with what should have come.
    pub fn expect<T: PartialEq + Debug>(&mut self, claim: &str, came: &T, expected: &T) {
        self.page.expect(claim, came, expected);
    }

    /// Makes a call with what the device still holds, and expects that it is
    /// refused and told by which sign-out it was ended.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn is_refused(
        &mut self,
        device: &Device,
        by: &SignOutView,
        reason: &str,
    ) -> Result<()> {
        let answer = self.call(device, Call::get("/v1/session")).await?;
        let text = |pointer| answer.text(pointer).map(str::to_owned);
        let came = Refusal {
            problem: answer.problem(),
            reason: text("/reason"),
            at: text("/signed_out_at"),
            by: text("/signed_out_by/name"),
        };
        let expected = Refusal {
            problem: (401, Some("session-signed-out")),
            reason: Some(reason.to_owned()),
            at: Some(by.requested_at.to_string()),
            by: by.requested_by.as_ref().map(|device| device.name.clone()),
        };
        let claim = format!(
            "{} is refused, and told when, by which device and why",
            device.role
        );
        self.expect(&claim, &came, &expected);
        Ok(())
    }

    /// Makes a call, and expects that the device is still let in.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn is_let_in(&mut self, device: &Device) -> Result<()> {
        let answer = self.call(device, Call::get("/v1/session")).await?;
        let claim = format!("{} is let in", device.role);
        let came = (answer.status, answer.text("/device/id").map(str::to_owned));
        self.expect(&claim, &came, &(200, device.id.clone()));
        Ok(())
    }

    /// Shows devices as their owner sees them.
    pub fn show(&self, devices: &[DeviceView]) {
        let header = [
            "",
            "NAME",
            "TYPE",
            "PLACE",
            "SINCE (UTC)",
            "LAST ACTIVE",
            "STATUS",
        ];
        let rows: Vec<Row> = devices.iter().map(row).collect();
        self.page.table(&header, &rows);
    }

    /// Waits for these events. Any other one about the
    /// household is one too many.
    ///
    /// # Errors
    /// When the topic can't be listened to any more.
    pub async fn hear(&mut self, home: &Household, mut expected: Vec<Expected>) -> Result<()> {
        self.page.gap();
        let deadline = Instant::now() + self.patience;
        while !expected.is_empty() {
            let Ok(event) = timeout_at(deadline, self.subscription.next()).await else {
                break;
            };
            self.take(home, event?, &mut expected);
        }
        for missing in expected {
            let late = format!("did not come within {} s", self.patience.as_secs());
            self.page.came(SNS, &missing.headline(), &[late], &[]);
            self.patience = LITTLE_PATIENCE;
        }
        self.page.gap();
        Ok(())
    }

    /// The events of the household that were told, in the order of their coming.
    pub fn heard(&self) -> &[Event] {
        &self.heard
    }

    /// Expects that no event has come beside those that were told.
    ///
    /// # Errors
    /// When the topic can't be listened to any more.
    pub fn hear_no_more(&mut self, home: &Household) -> Result<()> {
        let before = self.heard.len();
        while let Some(event) = self.subscription.pending() {
            self.take(home, event?, &mut Vec::new());
        }
        if self.heard.len() == before {
            self.page.met("No other event about the household has come");
        }
        Ok(())
    }

    /// Tells of one event, unless it is about somebody else or told already.
    fn take(&mut self, home: &Household, event: Event, expected: &mut Vec<Expected>) {
        let is_told = self.heard.iter().any(|earlier| event.repeats(earlier));
        if event.account() != home.account.as_deref() || is_told {
            return;
        }
        let details = event.parts(home);
        let found = expected.iter().position(|one| one.is_met_by(&event));
        if let Some(expected) = found.map(|at| expected.remove(at)) {
            let after = shown(event.at.saturating_duration_since(expected.since));
            let claim = format!("{}, {after} after the answer", expected.headline());
            self.page
                .came(SNS, &claim, &expected.flaws(&event), &details);
        } else if event.is_known(&self.heard) {
            let what = format!("{}, which was known already", event.name());
            self.page.came_besides(SNS, &what, &details);
        } else {
            let flaw = "nobody did anything that tells this".to_owned();
            self.page.came(SNS, event.name(), &[flaw], &details);
        }
        self.heard.push(event);
    }
}

/// What a device is told that is refused because it was signed out.
#[derive(Debug, PartialEq)]
struct Refusal<'a> {
    problem: (u16, Option<&'a str>),
    reason: Option<String>,
    at: Option<String>,
    by: Option<String>,
}

fn row(device: &DeviceView) -> Row {
    let by = device.signed_out_by.as_ref().map(|by| by.name.as_str());
    let status = match (device.status, device.signed_out_at, &device.reason) {
        (Status::SignedIn, ..) => "signed in".to_owned(),
        (Status::SignedOut, Some(at), Some(reason)) => {
            let by = by.unwrap_or("an operator");
            format!("{reason} {} by {by}", at.strftime("%H:%M:%S"))
        }
        (Status::SignedOut, ..) => "signed out".to_owned(),
    };
    let location = device.location.as_ref().map(|place| {
        let parts = [place.city.as_deref(), place.country.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    Row {
        cells: vec![
            if device.current { "▸" } else { " " }.to_owned(),
            device.name.clone(),
            device.device_type.as_str().to_owned(),
            location.or(device.ip.clone()).unwrap_or_default(),
            device.signed_in_at.strftime("%H:%M:%S").to_string(),
            device.last_active_at.strftime("%H:%M:%S").to_string(),
            status,
        ],
        is_faint: device.status == Status::SignedOut,
    }
}
