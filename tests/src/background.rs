//! The functions that no HTTP caller waits for: those behind the streams, the
//! queues and the sockets.

use events::Topic;
use publish_revocations::Unpublished;
use runtime::{Calls, Clients};
use sockets::{PushQueue, Sockets};
use store::Store;

use crate::bundle::{Bundle, ISSUER};
use crate::tables;

/// The queue of the pushes.
pub const PUSH_QUEUE: &str = "http://queues.invalid/push";
/// The queue of the sweep.
pub const SWEEP_QUEUE: &str = "http://queues.invalid/sweep";
/// The queue of what could not be published.
pub const UNPUBLISHED_QUEUE: &str = "http://queues.invalid/unpublished";

const TOPIC_ARN: &str = "arn:aws:sns:eu-central-1:1:events";
const CALLBACK_URL: &str = "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1";

/// The functions, each with its `Deps`.
pub struct Background {
    /// Publishes the records of the streams as events.
    pub publish: publish_revocations::Deps,
    /// Marks the devices that a sign-out of many has ended.
    pub sweep: sweep::Deps,
    /// Pushes revocations to the open sockets.
    pub push: push_revocations::Deps,
    /// Handles the events of the sockets.
    pub socket: socket::Deps,
}

impl Background {
    /// Connects the functions to the clients, with the limits and the clock of the
    /// bundle. One message of the sweep walks 100 devices.
    #[must_use]
    pub fn new(clients: &Clients, bundle: &Bundle) -> Self {
        let store = || Store::new(clients.dynamodb(), tables::names());
        let topic = Topic::new(clients.config(), TOPIC_ARN.to_owned());
        let queue = PushQueue::new(clients.sqs(), PUSH_QUEUE.to_owned());
        let (table_calls, push_calls) = (Calls::default(), Calls::default());
        let counted = clients.counted(&table_calls).dynamodb();
        Self {
            publish: publish_revocations::Deps {
                topic: topic.clone(),
                unpublished: Unpublished::new(clients.clone(), UNPUBLISHED_QUEUE.to_owned()),
                issuer: ISSUER.to_owned(),
            },
            sweep: sweep::Deps {
                store: store(),
                topic,
                queue: sweep::Queue::new(clients.sqs(), SWEEP_QUEUE.to_owned()),
                issuer: ISSUER.to_owned(),
                page_size: 100,
                limits: bundle.limits,
                clock: bundle.clock.clone(),
            },
            push: push_revocations::Deps {
                store: Store::new(counted, tables::names()),
                sockets: Sockets::new(clients.counted(&push_calls).sockets(CALLBACK_URL)),
                queue: queue.clone(),
                limits: bundle.limits,
                clock: bundle.clock.clone(),
                table_calls,
                push_calls,
            },
            socket: socket::Deps {
                store: store(),
                sockets: Sockets::new(clients.sockets(CALLBACK_URL)),
                queue,
                limits: bundle.limits,
                clock: bundle.clock.clone(),
            },
        }
    }
}
