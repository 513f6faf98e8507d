//! News of factors for the owner.

use domain::notice::FactorAct;
use domain::{AccountId, Device, FactorId, Timestamp};
use http_api::{Problem, Request};
use mail::{FactorNews, MailQueue, NEWS_DELAY_S};

/// Returns the news of what a session has done.
#[must_use]
pub fn news_of(by: &Device, act: (FactorAct, FactorId), now: Timestamp) -> FactorNews {
    FactorNews {
        by: Some((by.id.to_string(), by.notice_session.to_string())),
        ..news(by.account, act, now)
    }
}

/// Returns the news of what was done without a session, from the place of the request.
#[must_use]
pub fn news_from(
    account: AccountId,
    act: (FactorAct, FactorId),
    request: &Request,
    now: Timestamp,
) -> FactorNews {
    let place = request.place();
    FactorNews {
        place: place.country.or(place.ip),
        ..news(account, act, now)
    }
}

fn news(account: AccountId, (act, id): (FactorAct, FactorId), now: Timestamp) -> FactorNews {
    FactorNews {
        factor_account: account.to_string(),
        act: act.as_str().to_owned(),
        id: id.to_string(),
        by: None,
        challenge_id: None,
        place: None,
        at_ms: now.as_millisecond(),
    }
}

/// Queues news of an act before it is written, so that none goes without its notice.
/// `notify-owner` reads the rows again. Does nothing where no mail is sent.
///
/// # Errors
/// `unavailable`: the act must not be written.
pub async fn queue_news(queue: Option<&MailQueue>, news: &FactorNews) -> Result<(), Problem> {
    let Some(queue) = queue else {
        return Ok(());
    };
    queue
        .send_factor_news(news, NEWS_DELAY_S)
        .await
        .map_err(|error| {
            tracing::error!(
                cause = errors::chain(&*error),
                "news of a factor not queued"
            );
            Problem::Unavailable
        })
}
