//! Watches over calls that may never return: into the client library of Kafka, and whatever a stage calls between them.
//!
//! Each thread of the service has a [`Post`] that says which call it is inside of; `watched` writes it. The thread
//! that started them looks at all posts now and then. It measures by its own looks, so a process that was itself stopped for a while accuses nobody.
//!
//! A call that never returns cannot be ended from outside: all that helps is the end of the process.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(50);
/// The longest time that one look counts for, however late it comes.
const MOST_FOR_A_LOOK: Duration = Duration::from_millis(500);
/// A call that takes longer is told of.
pub const HELD_AFTER: Duration = Duration::from_secs(3);
/// The same of a thread that only asks whether anybody answers.
const UNANSWERED_AFTER: Duration = Duration::from_secs(2);
/// How often it is told of again.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a thread is inside of.
macro_rules! calls {
    ($($name:ident => $words:literal,)*) => {
        /// What a thread of the service is inside of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Call {
            $(#[doc = $words] $name,)*
        }

        impl Call {
            const ALL: &[Call] = &[$(Call::$name,)*];

            /// In words, behind "is".
            pub fn words(self) -> &'static str {
                match self {
                    $(Call::$name => $words,)*
                }
            }
        }
    };
}

calls! {
    Nothing => "not at work",
    Own => "between calls to kafka: it looks up, rates or writes to disk",
    Join => "joining its group",
    Gather => "reading from its group",
    Positions => "asking for the positions of its group",
    Start => "taking over partitions",
    Release => "giving partitions back",
    Leave => "leaving its group",
    Introduce => "introducing its transactional id",
    Begin => "beginning a transaction",
    Send => "handing messages to the client",
    SendOffsets => "adding positions to a transaction",
    Commit => "committing a transaction",
    Abort => "aborting a transaction",
    Close => "closing its producer",
    Fence => "ending a transaction that another left open",
    Ask => "asking kafka for topics, partitions or ends",
    Restore => "reading state from its changelog",
    Aside => "reading what stands beside its inputs",
    Pause => "waiting before it tries again",
}

/// One thread of the service.
#[derive(Debug)]
pub struct Post {
    who: String,
    /// A call of its that takes longer is told of.
    patience: Duration,
    /// How often it has moved on, and what it is inside of: one number, because it is written millions of times.
    at: AtomicU64,
}

/// Bits of a post's number that say what it is inside of.
const CALL_BITS: u32 = 8;

impl Post {
    /// A thread that is not at work yet.
    pub fn new(who: String) -> Post {
        Post { who, patience: HELD_AFTER, at: AtomicU64::new(0) }
    }

    /// The same of a thread that only asks whether anybody answers.
    pub(super) fn of_asker(who: String) -> Post {
        Post { patience: UNANSWERED_AFTER, ..Post::new(who) }
    }

    /// Goes on to something else. Only the thread of the post does so.
    pub(super) fn move_to(&self, call: Call) {
        let moves = (self.at.load(Ordering::Relaxed) >> CALL_BITS) + 1;
        self.at.store(moves << CALL_BITS | call as u64, Ordering::Relaxed);
    }

    /// Is inside of a call until the answer is dropped.
    pub(super) fn enter(&self, call: Call) -> Inside<'_> {
        self.move_to(call);
        Inside(self)
    }

    fn read(&self) -> (u64, Call) {
        let at = self.at.load(Ordering::Relaxed);
        let call = usize::try_from(at & ((1 << CALL_BITS) - 1)).ok().and_then(|place| Call::ALL.get(place));
        (at, call.copied().unwrap_or(Call::Nothing))
    }
}

/// A thread inside of a call.
pub(super) struct Inside<'p>(&'p Post);

impl Inside<'_> {
    /// The call goes on, and gets something done.
    pub(super) fn goes_on(&self) {
        let (_, call) = self.0.read();
        self.0.move_to(call);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.move_to(Call::Own);
    }
}

/// A thread that has been inside of one call for long: [`HELD_AFTER`] for most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which: the stage and number of a worker, or what else it does.
    pub who: String,
    /// The call.
    pub call: Call,
    /// For how long, in seconds; `None` where it has returned.
    pub seconds: Option<u64>,
    /// Whether that is beyond the limit: the process ends.
    pub is_beyond: bool,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held { who, call, seconds, is_beyond } = self;
        match seconds {
            None => write!(f, "{who}: goes on"),
            Some(seconds) => {
                let end = if *is_beyond { ", longer than any call may take: the process ends" } else { "" };
                write!(f, "{who}: has been {} for {seconds} s{end}", call.words())
            }
        }
    }
}

/// How long a post has been inside of one call.
#[derive(Clone, Copy, Debug, Default)]
struct Age {
    at: u64,
    age: Duration,
    /// When it was told of, if it was.
    told: Option<Duration>,
}

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Beyond this a call is taken for one that never returns.
    pub most: Duration,
    /// How much longer a group may be read from: that waits for messages.
    pub gather: Duration,
}

impl CallLimits {
    fn slack(&self, call: Call) -> Duration {
        if call == Call::Gather { self.gather } else { Duration::ZERO }
    }
}

/// Looks at the posts until it is over, and tells of those that are held: when they are, every second from then on, and when they go on.
pub(super) fn watch(posts: &[Post], limits: CallLimits, is_over: impl Fn() -> bool, mut tell: impl FnMut(&Held)) {
    let mut ages = vec![Age::default(); posts.len()];
    let mut last = Instant::now();
    while !is_over() {
        std::thread::sleep(GLANCE);
        let now = Instant::now();
        let passed = now.duration_since(std::mem::replace(&mut last, now)).min(MOST_FOR_A_LOOK);
        for (post, age) in posts.iter().zip(&mut ages) {
            if let Some(held) = look(post, age, passed, limits) {
                tell(&held);
            }
        }
    }
}

/// Looks at one post; what there is to tell.
fn look(post: &Post, known: &mut Age, passed: Duration, limits: CallLimits) -> Option<Held> {
    let (at, call) = post.read();
    let limit = limits.most + limits.slack(call);
    let held = |age: Option<Duration>| Held {
        who: post.who.clone(),
        call,
        seconds: age.map(|age| age.as_secs()),
        is_beyond: age.is_some_and(|age| age >= limit),
    };
    if at != known.at {
        let was_told = known.told.is_some();
        *known = Age { at, ..Age::default() };
        return was_told.then(|| held(None));
    }
    if call == Call::Nothing {
        return None;
    }
    let before = known.age;
    known.age += passed;
    let is_due = known.told.is_none_or(|told| known.age - told >= TELL_EVERY) || (before < limit && known.age >= limit);
    (known.age >= post.patience + limits.slack(call) && is_due).then(|| {
        known.told = Some(known.age);
        held(Some(known.age))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_is_told_of_until_he_goes_on() {
        let post = Post::new("rate 0".to_owned());
        let limits = CallLimits { most: Duration::from_secs(6), gather: Duration::from_secs(10) };
        let mut age = Age::default();
        let mut told = Vec::new();
        let mut pass = |post: &Post, seconds: u64| {
            for _ in 0..seconds * 10 {
                let held = look(post, &mut age, Duration::from_millis(100), limits);
                told.extend(held.map(|held| held.to_string()));
            }
        };
        pass(&post, 100);
        let inside = post.enter(Call::Commit);
        pass(&post, 7);
        drop(inside);
        pass(&post, 1);
        let quick = post.enter(Call::Send);
        pass(&post, 2);
        quick.goes_on();
        pass(&post, 2);
        drop(quick);
        post.move_to(Call::Nothing);
        pass(&post, 100);
        let end = ", longer than any call may take: the process ends";
        let line = |seconds, end| format!("rate 0: has been committing a transaction for {seconds} s{end}");
        assert_eq!(told, [line(3, ""), line(4, ""), line(5, ""), line(6, end), "rate 0: goes on".to_owned()]);
    }

    #[test]
    fn reading_may_wait_for_messages() {
        let post = Post::new("intake 0".to_owned());
        let _inside = post.enter(Call::Gather);
        let limits = CallLimits { most: Duration::from_secs(6), gather: Duration::from_secs(10) };
        let mut age = Age::default();
        let held: Vec<Held> = (0..17).filter_map(|_| look(&post, &mut age, Duration::from_secs(1), limits)).collect();
        let told: Vec<(Option<u64>, bool)> = held.iter().map(|held| (held.seconds, held.is_beyond)).collect();
        assert_eq!(told, [(Some(13), false), (Some(14), false), (Some(15), false), (Some(16), true)]);
    }
}
