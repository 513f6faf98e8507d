//! The first contact of a signed-out device, at every door.

use curfew_tests::account::TestDevice;
use curfew_tests::app::{Boxed, TestApp};
use curfew_tests::doors::Door;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::wire::CallResult;
use domain::{SignOutId, Step};
use serde_json::Value;

use super::{SECOND, now, operations_of, part, read_receipt, refused, stored, sweep};

/// A way of ending the television's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    One,
    Many,
    ManySwept,
}

fn ended(end: End) -> Boxed<'static, (TestApp, [TestDevice; 3], SignOutId)> {
    Box::pin(async move {
        let (app, devices) = TestApp::with_devices().await;
        let id = match end {
            End::One => app.sign_out_device(&devices[0], &devices[1]).await,
            End::Many | End::ManySwept => app.sign_out_scope(&devices[0], "others").await,
        };
        if end == End::ManySwept {
            sweep(&app, &devices[0], id).await;
        }
        app.advance(SECOND);
        (app, devices, id)
    })
}

const ENDS: [End; 3] = [End::One, End::Many, End::ManySwept];

/// Presents the token of a device at a door, and returns the answer as text.
fn knock<'a>(
    app: &'a TestApp,
    door: &'a Door,
    device: &'a TestDevice,
    id: SignOutId,
) -> Boxed<'a, String> {
    Box::pin(async move {
        let about = match door {
            Door::Route(route) if route.names_device() => device.id.to_string(),
            _ => id.to_string(),
        };
        format!("{:?}", door.knock(app, device, &about).await)
    })
}

fn writes(calls: &[String]) -> usize {
    calls.iter().filter(|call| *call == "UpdateItem").count()
}

#[tokio::test]
async fn the_first_contact_of_each_kind_is_recorded_once() {
    let doors = Door::all();
    for end in ENDS {
        for door in &doors {
            let (app, [laptop, tv, _], id) = ended(end).await;
            let at = now(&app);
            let case = format!("{end:?} {}", door.name());

            let (answer, calls) = operations_of(&app, knock(&app, door, &tv, id)).await;

            assert_eq!(writes(&calls), 2, "{case} {calls:?}");
            let receipt = read_receipt(&app, &laptop, id).await;
            let part = part(&receipt, &tv);
            let (state, other) = match door.contact() {
                Step::Notified => ("notified", "seen"),
                _ => ("seen", "notified"),
            };
            assert_eq!(part["state"], state, "{case}");
            assert_eq!(part[format!("{state}_at")], at, "{case}");
            assert_eq!(part[format!("{other}_at")], Value::Null, "{case}");
            let before = stored(&app);
            app.advance(SECOND);
            let is_alike = |other: &&Door| other.contact() == door.contact();
            for door in doors.iter().filter(is_alike) {
                let (_, calls) = operations_of(&app, knock(&app, door, &tv, id)).await;
                assert_eq!(writes(&calls), 0, "{case} {calls:?}");
            }
            assert_eq!(knock(&app, door, &tv, id).await, answer, "{case}");
            assert_eq!(stored(&app), before, "{case}");
        }
    }
}

/// Breaks the connection of one later update, or of every one.
fn fail_update(app: &TestApp, number: Option<usize>, is_made: bool) {
    let mut updates = 0;
    app.aws.intercept(move |call| {
        if call.operation != "UpdateItem" {
            return Intercept::Make;
        }
        updates += 1;
        match number {
            Some(number) if number != updates => Intercept::Make,
            _ if is_made => Intercept::LoseAnswer,
            _ => Intercept::Replace(CallResult::Broken),
        }
    });
}

#[tokio::test]
async fn a_contact_that_can_not_be_written_changes_no_answer() {
    // The number of the update that fails, or every one; and whether it is made.
    let faults = [
        (Some(1), false),
        (Some(2), false),
        (Some(1), true),
        (Some(2), true),
        (None, false),
    ];
    for end in ENDS {
        for door in Door::all() {
            let (well, devices, id) = ended(end).await;
            let right = masked(&knock(&well, &door, &devices[1], id).await, &devices, id);
            for (number, is_made) in faults {
                let (app, devices, id) = ended(end).await;
                let [laptop, tv, _] = &devices;
                let case = format!("{end:?} {} {number:?} {is_made}", door.name());
                fail_update(&app, number, is_made);

                let answer = knock(&app, &door, tv, id).await;

                assert_eq!(masked(&answer, &devices, id), right, "{case}");
                app.aws.restore();
                refused(&app, tv).await;
                let receipt = read_receipt(&app, laptop, id).await;
                assert_eq!(part(&receipt, tv)["state"], "notified", "{case}");
                let (_, calls) = operations_of(&app, app.bundle.who_am_i(&tv.token)).await;
                assert_eq!(writes(&calls), 0, "{case} {calls:?}");
            }
        }
    }
}

/// Returns an answer with fixed names in the place of the ids, which differ from
/// account to account.
fn masked(answer: &str, devices: &[TestDevice], id: SignOutId) -> String {
    let answer = answer.replace(&id.to_string(), "the sign-out");
    let name = |answer: String, (at, device): (usize, &TestDevice)| {
        answer.replace(&device.id.to_string(), &format!("device {at}"))
    };
    devices.iter().enumerate().fold(answer, name)
}

#[tokio::test]
async fn a_valid_session_or_a_wrong_secret_marks_no_contact() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_device(&laptop, &tv).await;
    let before = stored(&app);
    let wrong_secret = tv.with_wrong_secret();

    for door in Door::harmless() {
        for device in [&laptop, &phone, &wrong_secret] {
            knock(&app, &door, device, id).await;
        }
    }

    assert_eq!(stored(&app), before);
}
