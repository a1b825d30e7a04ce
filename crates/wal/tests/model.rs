//! Random commands against a naive model, with restarts and power failures between them.
//!
//! After a power failure the log must be what some prefix of the commands had made it, and that prefix must hold at
//! least everything that was acknowledged.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use support::{entry, id, open};
use wal::memory::MemoryDisk;
use wal::{Entry, GroupId, LogId, Vote, Wal, WalError};

#[derive(Clone, Debug)]
enum Step {
    Append { group: u32, count: usize, size: usize },
    Vote { group: u32, term: u64 },
    Committed { group: u32, back: u64 },
    Truncate { group: u32, back: u64 },
    Purge { group: u32, ahead: u64 },
    Jump { group: u32 },
    Flush { group: u32 },
    Destroy { group: u32 },
    Restart,
    PowerFailure { keep: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let group = 0..3u32;
    prop_oneof![
        12 => (group.clone(), 1..5usize, 0..900usize).prop_map(|(group, count, size)| Step::Append { group, count, size }),
        2 => (group.clone(), 1..9u64).prop_map(|(group, term)| Step::Vote { group, term }),
        2 => (group.clone(), 0..3u64).prop_map(|(group, back)| Step::Committed { group, back }),
        2 => (group.clone(), 0..6u64).prop_map(|(group, back)| Step::Truncate { group, back }),
        4 => (group.clone(), 0..20u64).prop_map(|(group, ahead)| Step::Purge { group, ahead }),
        1 => group.clone().prop_map(|group| Step::Jump { group }),
        3 => group.clone().prop_map(|group| Step::Flush { group }),
        1 => group.prop_map(|group| Step::Destroy { group }),
        1 => Just(Step::Restart),
        2 => any::<u64>().prop_map(|keep| Step::PowerFailure { keep }),
    ]
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ModelGroup {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl ModelGroup {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.id).or(self.purged)
    }
}

type Node = BTreeMap<u32, ModelGroup>;

/// The log, and every state it went through since it was last certain.
struct Bench {
    disk: MemoryDisk,
    wal: Option<Wal>,
    states: Vec<Node>,
    /// The highest position in `states` that was acknowledged.
    acknowledged: Arc<AtomicUsize>,
    term: u64,
}

impl Bench {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        let wal = Some(open(&disk).unwrap());
        Self { disk, wal, states: vec![Node::new()], acknowledged: Arc::default(), term: 1 }
    }

    fn now(&self) -> &Node {
        self.states.last().unwrap()
    }

    fn change(&mut self, group: u32, change: impl FnOnce(&mut ModelGroup)) {
        let mut node = self.now().clone();
        change(node.entry(group).or_default());
        self.states.push(node);
    }

    fn done(&self) -> wal::Done {
        let (acknowledged, position) = (Arc::clone(&self.acknowledged), self.states.len() - 1);
        Box::new(move |outcome| {
            outcome.unwrap();
            acknowledged.fetch_max(position, Ordering::SeqCst);
        })
    }

    fn log(&mut self, group: u32) -> wal::GroupLog {
        let existed = self.wal.as_ref().unwrap().group(GroupId(group)).is_some();
        let log = self.wal.as_ref().unwrap().create_group(GroupId(group)).unwrap();
        if !existed {
            self.change(group, |_| {});
        }
        log
    }

    fn append(&mut self, group: u32, count: usize, size: usize) {
        let log = self.log(group);
        let next = log.state().last.map_or(0, |last| last.index + 1);
        let term = self.term;
        let entries: Vec<Entry> = (0..count as u64)
            .map(|i| entry(term, next + i, vec![(next + i + term) as u8; size + i as usize]))
            .collect();
        for entry in &entries {
            self.change(group, |model| model.entries.push(entry.clone()));
        }
        loop {
            match log.append(entries.clone(), self.done()) {
                Ok(()) => return,
                Err(WalError::QueueFull) => self.wal.as_ref().unwrap().wait_for_room(6000),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Append { group, count, size } => self.append(group, count, size),
            Step::Vote { group, term } => {
                let vote = Vote { term, node: 1, committed: term % 2 == 0 };
                let log = self.log(group);
                self.change(group, |model| model.vote = Some(vote));
                log.save_vote(vote, self.done()).unwrap();
            }
            Step::Committed { group, back } => {
                let log = self.log(group);
                let Some(last) = log.state().last.filter(|last| last.index >= back) else { return };
                let committed = log.id_at(last.index - back);
                self.change(group, |model| model.committed = committed);
                log.save_committed(committed).unwrap();
            }
            Step::Truncate { group, back } => {
                let log = self.log(group);
                let model = &self.now()[&group];
                let Some(last) = model.entries.last().map(|last| last.id.index) else { return };
                // Raft never takes back what was committed.
                let kept = last.checked_sub(back).max(model.committed.map(|committed| committed.index));
                self.change(group, |model| {
                    model.entries.retain(|entry| kept.is_some_and(|kept| entry.id.index <= kept));
                });
                self.term += 1;
                log.truncate_after(kept).unwrap();
            }
            Step::Purge { group, ahead } => {
                let log = self.log(group);
                let model = &self.now()[&group];
                let Some(upto) = model.entries.get(ahead as usize).map(|entry| entry.id) else { return };
                self.purge(&log, group, upto);
            }
            Step::Jump { group } => {
                let log = self.log(group);
                let next = log.state().last.map_or(0, |last| last.index + 1);
                let upto = id(self.term, next + 7);
                self.purge(&log, group, upto);
            }
            Step::Flush { group } => {
                let log = self.log(group);
                let last = self.now()[&group].vote.unwrap_or(Vote { term: 1, node: 1, committed: false });
                self.change(group, |model| model.vote = Some(last));
                support::vote(&log, last).unwrap();
                self.acknowledged.fetch_max(self.states.len() - 1, Ordering::SeqCst);
            }
            Step::Destroy { group } => {
                let mut node = self.now().clone();
                node.remove(&group);
                self.states.push(node);
                self.wal.as_ref().unwrap().destroy_group(GroupId(group)).unwrap();
            }
            Step::Restart => {
                drop(self.wal.take());
                self.acknowledged.store(self.states.len() - 1, Ordering::SeqCst);
                self.reopen();
            }
            Step::PowerFailure { keep } => self.power_failure(keep),
        }
    }

    fn purge(&mut self, log: &wal::GroupLog, group: u32, upto: LogId) {
        self.change(group, |model| {
            model.purged = Some(upto);
            model.entries.retain(|entry| entry.id.index > upto.index);
        });
        log.purge(upto).unwrap();
    }

    fn power_failure(&mut self, mut keep: u64) {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let after = self.disk.after_power_failure(|| {
            keep = keep.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            keep >> 63 == 1
        });
        drop(self.wal.take());
        self.acknowledged.store(acknowledged, Ordering::SeqCst);
        self.disk = after;
        self.reopen();
    }

    /// Opens the log and finds out which state survived.
    fn reopen(&mut self) {
        let wal = open(&self.disk).unwrap();
        let found = read(&wal);
        let least = self.acknowledged.load(Ordering::SeqCst);
        let survived = self.states[least..].iter().rposition(|state| clamped(state) == found);
        let brief = |node: &Node| -> Vec<String> {
            node.iter()
                .map(|(id, group)| {
                    let first = group.entries.first().map(|entry| entry.id);
                    format!(
                        "{id}: {:?} {:?} {:?} {first:?} {:?}",
                        group.vote,
                        group.committed,
                        group.purged,
                        group.last()
                    )
                })
                .collect()
        };
        let states: Vec<_> = self.states[least..].iter().map(brief).collect();
        assert!(survived.is_some(), "found {:#?}\nof {states:#?}", brief(&found));
        self.states = vec![found];
        self.acknowledged = Arc::default();
        self.wal = Some(wal);
    }
}

/// A committed position beyond the end is read back as the end.
fn clamped(node: &Node) -> Node {
    let mut node = node.clone();
    for group in node.values_mut() {
        let last = group.last();
        if group.committed.is_some() && group.committed.map(|id| id.index) > last.map(|id| id.index) {
            group.committed = last;
        }
    }
    node
}

fn read(wal: &Wal) -> Node {
    let group = |id: GroupId| {
        let log = wal.group(id).unwrap();
        let state = log.state();
        let entries = support::entries(&log);
        assert_eq!(state.last, entries.last().map(|entry| entry.id).or(state.purged));
        (id.0, ModelGroup { vote: state.vote, committed: state.committed, purged: state.purged, entries })
    };
    wal.group_ids().into_iter().map(group).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_always_a_prefix_of_what_was_done(steps in prop::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new();
        for step in &steps {
            bench.apply(step);
            let seen = read(bench.wal.as_ref().unwrap());
            prop_assert_eq!(&seen, &clamped(bench.now()));
        }
    }
}
