//! The way from a writer to its endpoints: one, or several that share the records.
//!
//! Each endpoint is a *lane*: a share in its transport, and the counts of this writer's records there.
//! So an endpoint that is slow or down holds up no other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::topic::Head;
use crate::report::{Report, Trouble};
use crate::transport::{Events, Failure, Pattern, Refusal, Subscriptions, Trail, User};
use crate::zmq::{Acknowledged, Buffers, Context, Endpoint, Message, TELLS, version};

/// Where records go.
pub(super) struct Link {
    lanes: Vec<Lane>,
    /// True if the peers do not subscribe: every record is wanted.
    push: bool,
    /// True if records are kept until they have arrived, and are given only to peers that are there.
    keeps_until_acknowledged: bool,
    /// `zmq_hwm` of each lane, in records; 0 is no limit.
    limit: u64,
    /// Records in a message at most.
    batch_records: u64,
    /// The lane whose turn it is.
    next: usize,
    subscriptions: Subscriptions,
}

struct Lane {
    user: User,
    /// The number of the lane's consumer in [`Buffers`].
    consumer: usize,
    /// Records in the messages made for the lane.
    put_into_messages: u64,
    /// Records that its transport has taken, less those that were lost.
    handed_over: u64,
    /// Records that its transport has taken, lost and returned ones included.
    ever_handed_over: u64,
    /// Bytes of all frames of the records in `ever_handed_over`.
    bytes: u64,
    /// Records that there is at least room for.
    room: u64,
    /// True if somebody at this endpoint wanted the log's records as of the last look.
    wanted: bool,
    trail: Trail,
    /// Records that would be lost with the connection, and bytes that its peers had not acknowledged, as of
    /// the last look.
    at_stake: (u64, u64),
    /// Records that waited as of the last look.
    queued: u64,
    /// Records that libzmq has given up, as of the last look.
    given_up: u64,
    /// Until when the lane is [`Class::Avoided`].
    avoided: Option<Instant>,
}

/// How good a choice a lane is, the best first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A peer is there.
    There,
    /// A peer is there, and stood still a while ago.
    Avoided,
    /// No peer is there.
    Away,
}

/// How long other lanes with a peer are preferred to one whose peer stood still.
const AVOIDED: Duration = Duration::from_secs(60);

/// What happened to a link's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// True if a connection was lost, or made anew.
    pub disconnected: bool,
    /// Records that were lost with connections.
    pub lost: u64,
}

impl Link {
    /// Joins the transports of these endpoints. The first endpoint's consumer has the number `consumer`, and each
    /// further one the next number.
    ///
    /// # Errors
    ///
    /// What libzmq could not do.
    pub(super) fn open(
        context: &Arc<Context>,
        endpoints: &[Endpoint],
        config: &Config,
        consumer: usize,
        buffers: &Buffers,
    ) -> Result<Self, Failure> {
        let mut link = Self {
            lanes: Vec::with_capacity(endpoints.len()),
            push: config.pattern == Pattern::Push,
            keeps_until_acknowledged: config.spool.is_some(),
            limit: u64::try_from(config.high_water_mark).unwrap_or(0).saturating_mul(config.batch_records),
            batch_records: config.batch_records,
            next: 0,
            subscriptions: Subscriptions::default(),
        };
        let options = config.transport();
        for (index, endpoint) in endpoints.iter().enumerate() {
            match User::join(context, endpoint, &options) {
                Ok(user) => {
                    buffers.follow(consumer + index, user.written());
                    link.lanes.push(Lane::new(user, consumer + index));
                }
                Err(failure) => {
                    link.close(Some(Duration::ZERO));
                    return Err(failure);
                }
            }
        }
        Ok(link)
    }

    /// Returns true if the log's records are wanted, as of the last [`Link::poll`].
    #[must_use]
    pub(super) fn wanted(&self) -> bool {
        match self.push {
            true => !self.is_strict() && !self.keeps_until_acknowledged || self.has_peer(),
            false => self.subscriptions.matching > 0,
        }
    }

    fn has_peer(&self) -> bool {
        self.lanes.iter().any(|lane| lane.user.peers() > 0)
    }

    /// Returns true if libzmq queues records only for peers that are there. The records queued for a peer
    /// are lost with its connection.
    #[must_use]
    pub(super) fn is_strict(&self) -> bool {
        self.lanes.iter().any(|lane| lane.user.is_strict())
    }

    /// The subscriptions, as of the last [`Link::poll`].
    #[must_use]
    pub(super) fn subscriptions(&self) -> Subscriptions {
        self.subscriptions
    }

    /// Looks at what has happened: subscriptions, connections, what was sent.
    pub(super) fn poll(&mut self, head: &Head, buffers: &Buffers) -> News {
        let mut news = News::default();
        for lane in &mut self.lanes {
            // Asked before the events are read: they tell of a connection that ends in between.
            let unacknowledged = lane.user.unacknowledged();
            // Read before the subscriptions: those of a connection that has ended are gone by then.
            let mut events = lane.user.events();
            if let (false, Some(subscriptions)) = (self.push, lane.user.subscriptions(head.beginning())) {
                self.subscriptions = subscriptions;
            }
            // A bound socket has many peers: its queue is lost when the last one that wants the log leaves.
            let wanted = if self.push { lane.user.peers() > 0 } else { self.subscriptions.matching > 0 };
            events.renewed |= std::mem::replace(&mut lane.wanted, wanted) && !wanted && lane.user.is_bound();
            news.disconnected |= events.disconnected || events.renewed;
            if !self.keeps_until_acknowledged {
                news.lost += lane.lose(events, buffers);
                lane.note_at_stake(unacknowledged, self.batch_records, buffers);
            }
        }
        news
    }

    /// How far the peers' systems have acknowledged what was written to each lane's connections.
    #[must_use]
    pub(super) fn acknowledged(&self) -> Vec<Acknowledged> {
        self.lanes.iter().map(|lane| lane.user.acknowledged()).collect()
    }

    /// Returns true if a lane has several peers, each of which gets other records.
    #[must_use]
    pub(super) fn is_divided(&self, lane: usize) -> bool {
        self.lanes[lane].user.is_divided()
    }

    /// Bytes that a record takes on a lane's connection.
    #[must_use]
    pub(super) fn size(&self, lane: usize, head: &Head, body: usize) -> u64 {
        self.lanes[lane].user.size(head.frame(), body)
    }

    /// Has the connection of a lane made anew, because its peer stands still. For [`AVOIDED`] the lane gets
    /// nothing, unless no other lane has a peer.
    pub(super) fn renew(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.avoided = Some(Instant::now() + AVOIDED);
        lane.user.renew();
    }

    /// `zmq_hwm` of all lanes together, in records; 0 is no limit.
    #[must_use]
    pub(super) fn limit(&self) -> u64 {
        self.limit.saturating_mul(self.lanes.len() as u64)
    }

    /// How many lanes there are.
    #[must_use]
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Chooses a lane that has room for so many records. Returns its index and its consumer.
    #[inline]
    pub(super) fn lane(&mut self, records: u64, buffers: &Buffers) -> Option<(usize, usize)> {
        if let [lane] = &mut self.lanes[..] {
            return lane.has_room(records, self.limit, buffers).then_some((0, lane.consumer));
        }
        self.one_of_several(records, buffers)
    }

    /// Chooses lanes in turn, and one with a peer rather than a queue for a peer that is away.
    fn one_of_several(&mut self, records: u64, buffers: &Buffers) -> Option<(usize, usize)> {
        let count = self.lanes.len();
        for class in [Class::There, Class::Avoided, Class::Away] {
            if class == Class::Away && (self.keeps_until_acknowledged || self.is_strict()) {
                return None;
            }
            let mut full = false;
            for step in 0..count {
                let index = (self.next + step) % count;
                let lane = &mut self.lanes[index];
                if lane.class() != class {
                    continue;
                }
                if lane.has_room(records, self.limit, buffers) {
                    self.next = index + 1;
                    return Some((index, lane.consumer));
                }
                full = true;
            }
            if full && self.keeps_until_acknowledged {
                // Records wait for a full lane rather than go to one that stood still, or has no peer.
                return None;
            }
        }
        None
    }

    /// Takes note that a message of so many records was made for a lane.
    #[inline]
    pub(super) fn note_made(&mut self, lane: usize, records: u64) {
        let lane = &mut self.lanes[lane];
        lane.put_into_messages += records;
        lane.room = lane.room.saturating_sub(records);
    }

    /// Gives a message that was made for a lane to the lane's transport.
    ///
    /// # Errors
    ///
    /// The transport did not take the message.
    #[inline]
    pub(super) fn send(&mut self, lane: usize, head: &Head, body: &mut Message, records: u64) -> Result<(), Refusal> {
        let lane = &mut self.lanes[lane];
        let first = head.frame();
        let bytes = (first.map_or(0, <[u8]>::len) + body.as_bytes().len()) as u64;
        lane.user.send(first, body)?;
        lane.handed_over += records;
        lane.ever_handed_over += records;
        lane.bytes += bytes;
        Ok(())
    }

    /// Publishes a message that is none of the log's records.
    pub(super) fn publish(&mut self, head: &Head, body: &mut Message) {
        for lane in &self.lanes {
            // If no lane takes the message, no record is lost.
            if lane.user.send(head.frame(), body).is_ok() {
                break;
            }
        }
    }

    /// Records that were handed over, and are not known to be lost.
    #[must_use]
    pub(super) fn handed_over(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.handed_over).sum()
    }

    /// A number that changes when records of any writer leave libzmq's queues for these endpoints.
    #[must_use]
    pub(super) fn steps(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.user.written().steps()).sum()
    }

    /// Bytes of all frames of the records that were handed over, lost and returned ones included.
    #[must_use]
    pub(super) fn bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.bytes).sum()
    }

    /// Counts records as not handed over after all: they are handed over again, or were lost.
    pub(super) fn take_back(&mut self, mut records: u64) {
        for lane in &mut self.lanes {
            let part = records.min(lane.handed_over);
            lane.handed_over -= part;
            records -= part;
        }
    }

    /// Records that libzmq has in its queues.
    #[must_use]
    pub(super) fn in_flight(&self, buffers: &Buffers) -> u64 {
        self.lanes.iter().map(|lane| lane.in_flight(buffers)).sum()
    }

    /// Gives up what libzmq has in its queues, at the end. Returns how many records are lost, with those
    /// that libzmq has given up since the last [`Link::poll`].
    pub(super) fn give_up(&mut self, buffers: &Buffers) -> u64 {
        self.lanes.iter_mut().map(|lane| lane.give_up(buffers)).sum()
    }

    /// What there is to report of the endpoints; whoever asks first gets it.
    pub(super) fn notices(&self) -> Vec<Report> {
        self.lanes.iter().flat_map(|lane| lane.user.notices()).collect()
    }

    /// Why nobody subscribes, as far as that is known, and what to do about it.
    #[must_use]
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let lanes = self.lanes.iter().filter(|lane| lane.user.peers() == 0 || self.lanes.len() == 1);
        lanes.map(|lane| lane.user.trouble()).collect()
    }

    /// Returns true if it is known that nobody is there.
    #[must_use]
    pub(super) fn is_deserted(&self) -> bool {
        !self.has_peer() && version() >= (4, 3, 0)
    }

    /// When the first writer of these endpoints began to connect, and when the subscriptions have changed
    /// last.
    #[must_use]
    pub(super) fn since(&self) -> (Instant, Instant) {
        let since = |(begun, changed): (Instant, Instant), lane: &Lane| {
            let (lane_begun, lane_changed) = lane.user.since();
            (begun.max(lane_begun), changed.max(lane_changed))
        };
        let first = self.lanes[0].user.since();
        self.lanes.iter().fold(first, since)
    }

    /// Waits until there may be something to [`Link::poll`], for `limit` at most.
    pub(super) fn wait(&self, limit: Duration) {
        match &self.lanes[..] {
            [lane] => lane.user.wait(limit),
            _ => std::thread::sleep(limit.min(Duration::from_millis(2))),
        }
    }

    /// Leaves the transports. libzmq goes on sending what they have for `linger`; `None` is for ever.
    pub(super) fn close(self, linger: Option<Duration>) {
        for lane in self.lanes {
            lane.user.leave(linger);
        }
    }
}

impl Lane {
    fn new(user: User, consumer: usize) -> Self {
        Self {
            user,
            consumer,
            put_into_messages: 0,
            handed_over: 0,
            ever_handed_over: 0,
            bytes: 0,
            room: 0,
            wanted: false,
            trail: Trail::default(),
            at_stake: (0, 0),
            queued: 0,
            given_up: 0,
            avoided: None,
        }
    }

    fn class(&self) -> Class {
        match self.user.peers() {
            0 => Class::Away,
            _ if self.avoided.is_some_and(|until| until > Instant::now()) => Class::Avoided,
            _ => Class::There,
        }
    }

    #[inline]
    fn has_room(&mut self, records: u64, limit: u64, buffers: &Buffers) -> bool {
        self.room >= records || self.look_for_room(records, limit, buffers)
    }

    #[cold]
    fn look_for_room(&mut self, records: u64, limit: u64, buffers: &Buffers) -> bool {
        let limit = match limit {
            0 => u64::MAX,
            // Each peer of a bound push socket has a queue.
            limit if self.user.is_bound() && self.user.is_strict() => limit * self.user.peers().max(1) as u64,
            limit => limit,
        };
        let in_flight = self.in_flight(buffers);
        // A batch may be larger than the limit.
        self.room = if in_flight == 0 { limit.max(records) } else { limit.saturating_sub(in_flight) };
        self.room >= records
    }

    /// Records that libzmq has in its queue, and those of a refused message until the message is dropped.
    fn in_flight(&self, buffers: &Buffers) -> u64 {
        self.put_into_messages - buffers.released(self.consumer)
    }

    /// Bytes of a record on average; at least 1.
    fn size(&self) -> u64 {
        self.bytes.checked_div(self.ever_handed_over).unwrap_or(0).max(1)
    }

    /// Records that libzmq has given up since the last call, without those that it has refused.
    fn newly_given_up(&mut self, buffers: &Buffers) -> u64 {
        // A refused message that is to be tried again is in `put_into_messages`, but has not been given up.
        let given_up = (buffers.given_up(self.consumer) + self.ever_handed_over).saturating_sub(self.put_into_messages);
        let new = given_up.saturating_sub(self.given_up);
        self.given_up += new;
        new
    }

    /// Returns how many records were lost with connections that have ended: those that libzmq has given up,
    /// and those in the systems' buffers, as [`Lane::note_at_stake`] has noted them before.
    fn lose(&mut self, events: Events, buffers: &Buffers) -> u64 {
        let mut lost = self.newly_given_up(buffers);
        if events.disconnected || events.renewed {
            lost += std::mem::take(&mut self.at_stake).0;
        } else if events.astray > 0 {
            let (records, bytes) = self.at_stake;
            let part = (records * events.astray.min(bytes)).div_ceil(bytes.max(1));
            self.at_stake = (records - part, bytes.saturating_sub(events.astray));
            lost += part;
        }
        if events.renewed && !TELLS {
            lost += self.queued;
        }
        let lost = lost.min(self.handed_over.saturating_sub(self.in_flight(buffers)));
        self.handed_over -= lost;
        lost
    }

    /// Gives up the lane's queue, at the end. Returns how many records are lost.
    fn give_up(&mut self, buffers: &Buffers) -> u64 {
        let mut lost = self.newly_given_up(buffers);
        let in_flight = loop {
            let in_flight = self.in_flight(buffers);
            // What is given up meanwhile is no longer in flight.
            match self.newly_given_up(buffers) {
                0 => break in_flight,
                more => lost += more,
            }
        };
        let lost = (lost + in_flight).min(self.handed_over);
        self.handed_over -= lost;
        lost
    }

    /// Notes what would be lost if the connection ended now.
    fn note_at_stake(&mut self, unacknowledged: Option<u64>, batch_records: u64, buffers: &Buffers) {
        self.queued = self.in_flight(buffers);
        let position = self.user.position();
        self.trail.note(position, self.ever_handed_over);
        let waiting = self.user.tell_waiting(self.queued * self.size());
        if let Some(unacknowledged) = unacknowledged {
            let released = position.saturating_sub(waiting);
            let lost = self.trail.between(released.saturating_sub(unacknowledged), released);
            // A peer that lacks a part of a batch gets none of it.
            self.at_stake = (if lost > 0 { lost + batch_records - 1 } else { 0 }, unacknowledged);
        }
    }
}
