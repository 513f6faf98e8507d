//! What happens to the household, and one run of it with what goes wrong.

use std::collections::BTreeSet;

use super::cloud::{Deed, Place, Strike};
use super::verdict;
use super::world::{CONSOLE, LAPTOP, Meanwhile, Origin, PHONE, TABLET, TV, World};

/// What happens to the household.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A device with two sockets is signed out.
    One,
    /// Every other device is. Two that are connected call before they are told;
    /// two that are not call later.
    Others,
    /// Every device is.
    Global,
    /// Every other one, then every one.
    TwoInARow,
    /// One, then every one.
    OneThenGlobal,
    /// The password is changed, and everybody is signed out.
    Password,
    /// A connected device signs in again when its session has just ended.
    SignsInAgain,
    /// One device has just shaken hands when everybody is signed out, another
    /// tries it just after.
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

    /// Up to where the fan-out begins.
    async fn begin(self, world: &World) {
        let later = |after_s, deed| world.cloud().later(after_s, deed);
        match self {
            Self::One => world.sign_out_device(LAPTOP, TV).await,
            Self::Others => {
                world.sign_out_scope(LAPTOP, "others").await;
                later(0, Deed::Calls(PHONE));
                later(0, Deed::Calls(TV));
                later(30, Deed::Calls(PHONE));
                later(60, Deed::Calls(CONSOLE));
                later(90, Deed::Calls(CONSOLE));
                later(120, Deed::Calls(TABLET));
            }
            Self::Global => world.sign_out_scope(LAPTOP, "global").await,
            Self::TwoInARow => {
                world.sign_out_scope(LAPTOP, "others").await;
                world.sign_out_scope(LAPTOP, "global").await;
            }
            Self::OneThenGlobal => {
                world.sign_out_device(LAPTOP, TV).await;
                world.sign_out_scope(LAPTOP, "global").await;
            }
            Self::Password => world.change_password(LAPTOP, false).await,
            Self::SignsInAgain => {
                world.sign_out_scope(LAPTOP, "others").await;
                later(0, Deed::SignsIn(TV));
            }
            Self::Connects => {
                world.watch();
                world.connect(TABLET).await;
                world.cloud().is_watched = false;
                // Unless that has happened in the middle of the handshake.
                if world.home().acts.is_empty() {
                    world.sign_out_scope(LAPTOP, "global").await;
                }
                later(0, Deed::Connects(CONSOLE));
            }
        }
    }
}

/// One run: what happens, which calls are struck, and how messages come.
#[derive(Debug, Clone)]
pub struct Run {
    pub scenario: Scenario,
    pub strikes: Vec<(usize, Strike)>,
    pub meanwhile: Option<Meanwhile>,
    /// Messages come twice and in an order that is drawn from this.
    pub rough: Option<u64>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub run: Run,
    pub calls: Vec<Place>,
    pub struck: Vec<(Place, Strike)>,
    pub faults: Vec<String>,
    /// The rows of sockets that are no more, which are left to the TTL.
    pub left_behind: BTreeSet<String>,
}

impl Run {
    pub fn calm(scenario: Scenario) -> Self {
        Self {
            scenario,
            strikes: Vec::new(),
            meanwhile: None,
            rough: None,
        }
    }

    pub async fn play(self, world: &World, origin: &Origin) -> Outcome {
        world.begin(origin, self.rough);
        world.cloud().plan = self.strikes.iter().copied().collect();
        world.home().meanwhile = self.meanwhile;
        self.scenario.begin(world).await;
        world.watch();
        world.settle().await;
        world.cloud().is_watched = false;
        let left_behind = verdict::judge(world).await;
        let mut cloud = world.cloud();
        Outcome {
            run: self,
            calls: std::mem::take(&mut cloud.calls),
            struck: std::mem::take(&mut cloud.struck),
            faults: std::mem::take(&mut world.home().faults),
            left_behind,
        }
    }
}
