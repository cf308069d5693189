//! One live connection: `connected`, then events of the topics that were asked for and allowed.
//!
//! The client says `{"type":"subscribe","topics":[…]}`, `unsubscribe` or `ping`; anything else that is
//! well-formed gets an `error` message, anything that is not ends the connection. A worker that leaves says
//! `{"type":"goodbye","resume":{"since":…}}` before it closes with 1001; who subscribes with that `since` is told what
//! has changed meanwhile.
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use hotline::wire::LiveEvent;
use hotline_domain::policy::{Action, Permissions};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use uuid::Uuid;

use super::{Farewell, alerts, resume};
use crate::app::{App, Shared};
use crate::gate::{Payer, Principal, RequestId};
use hotline::config::Budget;

/// Talks until either side has enough.
pub(crate) async fn converse(app: Shared, mut socket: WebSocket, principal: Principal, id: RequestId) {
    let open = Open::count(&app);
    let farewell = listen(&app, &mut socket, principal, id).await;
    drop(open);
    if let Some(farewell) = farewell {
        let frame = CloseFrame { code: farewell.code(), reason: farewell.reason().into() };
        let close = async {
            if farewell == Farewell::GoingAway {
                let _ = say(&mut socket, &resume::hint(app.now().as_millisecond())).await;
            }
            let _ = socket.send(Message::Close(Some(frame))).await;
            // Until the other side has said goodbye, too: otherwise our last words may be lost.
            while let Some(Ok(_)) = socket.recv().await {}
        };
        let _ = timeout(GOODBYE, close).await;
    }
}

/// Counts a socket while it is open, however it ends.
struct Open<'a>(&'a App);

impl<'a> Open<'a> {
    fn count(app: &'a App) -> Self {
        app.hub.sockets.fetch_add(1, Ordering::Relaxed);
        app.meters.websockets.increment(1.0);
        Self(app)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.hub.sockets.fetch_sub(1, Ordering::Relaxed);
        self.0.meters.websockets.decrement(1.0);
    }
}

async fn listen(app: &Shared, socket: &mut WebSocket, principal: Principal, id: RequestId) -> Option<Farewell> {
    let limits = &app.config.limits;
    let mut ear = app.hub.listen(principal, limits.websocket_queue_max as usize);
    if app.drain.is_ordered() {
        return Some(Farewell::GoingAway);
    }
    let hello = json!({ "type": "connected", "timestamp": app.now().as_millisecond(), "connectionId": id.as_str() });
    say(socket, &hello).await?;

    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            biased;
            farewell = ear.farewell.recv() => {
                if farewell == Some(Farewell::GoingAway) {
                    timeout(GOODBYE, tell_the_rest(app, socket, &principal, &mut ear)).await.ok()??;
                }
                return farewell;
            }
            message = socket.recv() => {
                heard = Instant::now();
                match message? {
                    Ok(Message::Text(text)) => {
                        let replies = match understand(app, &principal, text.as_str()) {
                            Ok(request) => obey(app, &ear, &principal, request).await,
                            Err(farewell) => return Some(farewell),
                        };
                        for reply in &replies {
                            say(socket, reply).await?;
                        }
                    }
                    Ok(Message::Binary(_)) => return Some(Farewell::Policy("text only")),
                    Ok(Message::Close(_)) => return None,
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Err(_broken) => return None,
                }
            }
            event = ear.events.recv() => {
                tell(app, socket, &principal, &event?).await?;
            }
            _ = ping.tick() => {
                if heard.elapsed() > 3 * PING_EVERY {
                    return None;
                }
                timeout(SEND, socket.send(Message::Ping(bytes::Bytes::new()))).await.ok()?.ok()?;
            }
        }
    }
}

/// What waits was written before the moment that the goodbye will name.
async fn tell_the_rest(
    app: &App,
    socket: &mut WebSocket,
    principal: &Principal,
    ear: &mut super::Ear<'_>,
) -> Option<()> {
    while let Ok(event) = ear.events.try_recv() {
        tell(app, socket, principal, &event).await?;
    }
    Some(())
}

/// Whoever might hear of a topic when they asked may not for ever: a wall may stand there now. So each event is asked
/// about; what decides is in memory, but for the first event after a change.
async fn tell(app: &App, socket: &mut WebSocket, principal: &Principal, event: &LiveEvent) -> Option<()> {
    let payload = payload(&event.payload);
    let may = match event.topic.split_once(':') {
        None if event.topic == alerts::TOPIC => principal.may(Permissions::AUDIT_READ),
        None | Some(("case", _)) => match payload["caseId"].as_str().and_then(|id| Uuid::try_parse(id).ok()) {
            Some(case) => app.may(principal, Action::CaseAccess, case).await.unwrap_or(false),
            None => false,
        },
        Some(("call", id)) => app.call_is_visible(principal, id).await,
        Some(_) => true,
    };
    if !may {
        return Some(());
    }
    app.meters.live_events.increment(1);
    say(socket, &self::event(&event.topic, &payload)).await
}

/// `None` if the other side is gone or does not read.
async fn say(socket: &mut WebSocket, message: &Value) -> Option<()> {
    timeout(SEND, socket.send(Message::text(message.to_string()))).await.ok()?.ok()
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Subscribe {
        topics: Vec<String>,
        /// From the goodbye of the connection before: what has changed since is told first.
        since: Option<i64>,
    },
    Unsubscribe {
        topics: Vec<String>,
    },
    Ping,
}

fn understand(app: &Shared, principal: &Principal, text: &str) -> Result<Option<Request>, Farewell> {
    let charge = app.charge(Payer::Live(principal.session.as_u128()), MESSAGES);
    if !charge.allowed() {
        app.meters.rate_limited(charge.name());
        return Err(Farewell::Policy("too many messages"));
    }
    match serde_json::from_str(text) {
        Ok(request) => Ok(Some(request)),
        Err(error) if error.is_data() => Ok(None),
        Err(_) => Err(Farewell::Policy("not JSON")),
    }
}

async fn obey(app: &Shared, ear: &super::Ear<'_>, principal: &Principal, request: Option<Request>) -> Vec<Value> {
    let reply = match request {
        Some(Request::Subscribe { topics, since }) => {
            let (mut subscribed, mut refused) = (Vec::new(), Vec::new());
            for topic in topics.into_iter().take(TOPICS_PER_MESSAGE_MAX) {
                let allowed = may_hear(app, principal, &topic).await && ear.subscribe(&topic);
                if allowed { subscribed.push(topic) } else { refused.push(topic) }
            }
            let mut replies = vec![json!({ "type": "subscribed", "topics": subscribed, "refused": refused })];
            if let Some(since_ms) = since {
                for topic in &subscribed {
                    replies.extend(resume::missed(app, principal, topic, since_ms).await);
                }
            }
            return replies;
        }
        Some(Request::Unsubscribe { topics }) => {
            topics.iter().for_each(|topic| ear.unsubscribe(topic));
            json!({ "type": "unsubscribed", "topics": topics })
        }
        Some(Request::Ping) => json!({ "type": "pong", "timestamp": app.now().as_millisecond() }),
        None => json!({ "type": "error", "error": "Bad request", "detail": "subscribe, unsubscribe or ping" }),
    };
    vec![reply]
}

pub(super) fn event(topic: &str, data: &Value) -> Value {
    json!({ "type": "event", "topic": topic, "data": data })
}

/// The same question as for reading the thing itself; a stranger's topic and no topic look alike.
async fn may_hear(app: &Shared, principal: &Principal, topic: &str) -> bool {
    match topic.split_once(':') {
        None if topic == alerts::TOPIC => principal.may(Permissions::AUDIT_READ),
        None => topic == "cases" && principal.may(Permissions::CASE_ACCESS),
        Some(("case", id)) => app.case_is_visible(principal, id).await,
        Some(("call", id)) => app.call_is_visible(principal, id).await,
        Some(("session", id)) => id == principal.session.as_hyphenated().to_string(),
        Some(_) => false,
    }
}

fn payload(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

const PING_EVERY: Duration = Duration::from_secs(20);
const SEND: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_secs(2);
const TOPICS_PER_MESSAGE_MAX: usize = 64;
/// What a person clicks is far less; a runaway script is far more.
const MESSAGES: Budget = Budget { requests: 120, window_seconds: 60 };
