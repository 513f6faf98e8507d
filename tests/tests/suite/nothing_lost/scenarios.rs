//! The scenarios, and one run of a scenario with its faults.

use std::collections::BTreeSet;

use super::cloud::{Action, CallSite, Fault};
use super::simulation::{
    CONSOLE, InitialState, Interruption, LAPTOP, PHONE, Simulation, TABLET, TV,
};
use super::verdict;

/// A sequence of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A device with two sockets is signed out.
    One,
    /// Every other device is signed out. Two connected ones call before they are
    /// notified, two others call later.
    Others,
    /// Every device is signed out.
    Global,
    /// The others are signed out, then every device.
    TwoInARow,
    /// One device is signed out, then every device.
    OneThenGlobal,
    /// The password is changed, and every device is signed out.
    Password,
    /// A connected device signs in again right after its session has ended.
    SignsInAgain,
    /// One device has just opened a socket when every device is signed out, and another
    /// tries to right after.
    Connects,
}

impl Scenario {
    pub const ALL: [Self; 8] = [
        Self::One,
        Self::Others,
        Self::Global,
        Self::TwoInARow,
        Self::OneThenGlobal,
        Self::Password,
        Self::SignsInAgain,
        Self::Connects,
    ];

    /// Makes the requests up to the point where the fan-out begins.
    async fn begin(self, simulation: &Simulation) {
        let later = |after_s, action| simulation.cloud().later(after_s, action);
        match self {
            Self::One => simulation.sign_out_device(LAPTOP, TV).await,
            Self::Others => {
                simulation.sign_out_scope(LAPTOP, "others").await;
                later(0, Action::Call(PHONE));
                later(0, Action::Call(TV));
                later(30, Action::Call(PHONE));
                later(60, Action::Call(CONSOLE));
                later(90, Action::Call(CONSOLE));
                later(120, Action::Call(TABLET));
            }
            Self::Global => simulation.sign_out_scope(LAPTOP, "global").await,
            Self::TwoInARow => {
                simulation.sign_out_scope(LAPTOP, "others").await;
                simulation.sign_out_scope(LAPTOP, "global").await;
            }
            Self::OneThenGlobal => {
                simulation.sign_out_device(LAPTOP, TV).await;
                simulation.sign_out_scope(LAPTOP, "global").await;
            }
            Self::Password => simulation.change_password(LAPTOP, false).await,
            Self::SignsInAgain => {
                simulation.sign_out_scope(LAPTOP, "others").await;
                later(0, Action::SignIn(TV));
            }
            Self::Connects => {
                simulation.watch();
                simulation.connect(TABLET).await;
                simulation.cloud().is_watched = false;
                // Unless an interruption did so in the middle of the handshake.
                if simulation.accounts().sign_outs.is_empty() {
                    simulation.sign_out_scope(LAPTOP, "global").await;
                }
                later(0, Action::Connect(CONSOLE));
            }
        }
    }
}

/// One run of a scenario, with its faults and interruption.
#[derive(Debug, Clone)]
pub struct Run {
    pub scenario: Scenario,
    pub faults: Vec<(usize, Fault)>,
    pub interruption: Option<Interruption>,
    /// The seed by which messages are duplicated and reordered.
    pub disorder: Option<u64>,
}

/// The outcome of a run.
#[derive(Debug)]
pub struct Outcome {
    pub run: Run,
    pub calls: Vec<CallSite>,
    pub injected: Vec<(CallSite, Fault)>,
    pub violations: Vec<String>,
    /// The rows of closed sockets that only the TTL will delete.
    pub left_behind: BTreeSet<String>,
}

impl Run {
    pub fn undisturbed(scenario: Scenario) -> Self {
        Self {
            scenario,
            faults: Vec::new(),
            interruption: None,
            disorder: None,
        }
    }

    pub async fn play(self, simulation: &Simulation, initial: &InitialState) -> Outcome {
        simulation.begin(initial, self.disorder);
        simulation.cloud().plan = self.faults.iter().copied().collect();
        simulation.accounts().interruption = self.interruption;
        self.scenario.begin(simulation).await;
        simulation.watch();
        simulation.settle().await;
        simulation.cloud().is_watched = false;
        let left_behind = verdict::check(simulation).await;
        let mut cloud = simulation.cloud();
        Outcome {
            run: self,
            calls: std::mem::take(&mut cloud.calls),
            injected: std::mem::take(&mut cloud.injected),
            violations: std::mem::take(&mut simulation.accounts().violations),
            left_behind,
        }
    }
}
