//! A reader's look at the head that lets the writer in: small steps under the lock, and a pause after each.
//!
//! Whoever applies the log waits for one step of each reader at the most, whatever a selector has to go through. Between two
//! steps series may come, which a query may see or not, and may go. When some went, slots and pair ids mean others, and the
//! look begins again: that is once a window.

use parking_lot::RwLockReadGuard;

use crate::Head;
use crate::state::State;

/// How many values, postings or series one step goes through.
pub(crate) const STEP_ITEMS: usize = 256;
/// How often a look begins again before it goes through in one step.
const RESTARTS_MAX: usize = 8;

/// Series were removed since the look began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved;

/// Something to look at in steps.
pub(crate) trait View {
    /// Returns what is looked at, as it is in this step.
    fn state(&self) -> &State;

    /// Ends a step.
    ///
    /// # Errors
    /// [`Moved`] when what was found until now may mean something else.
    fn pause(&mut self) -> Result<(), Moved>;
}

/// The writer's own view: nothing happens between its steps.
impl View for &State {
    fn state(&self) -> &State {
        self
    }

    fn pause(&mut self) -> Result<(), Moved> {
        Ok(())
    }
}

/// A reader's view; see the module.
pub(crate) struct Look<'a> {
    state: RwLockReadGuard<'a, State>,
    removals: u64,
    lets_in: bool,
}

impl View for Look<'_> {
    fn state(&self) -> &State {
        &self.state
    }

    fn pause(&mut self) -> Result<(), Moved> {
        if self.lets_in {
            RwLockReadGuard::bump(&mut self.state);
        }
        if self.state.removals == self.removals { Ok(()) } else { Err(Moved) }
    }
}

impl Head {
    /// Looks at the head in steps. `look` may be called several times; its last result is returned.
    pub(crate) fn look<T>(&self, mut look: impl FnMut(&mut Look<'_>) -> Result<T, Moved>) -> T {
        let mut restarts = 0;
        loop {
            let state = self.state.read();
            let removals = state.removals;
            let mut steps = Look { state, removals, lets_in: restarts < RESTARTS_MAX };
            if let Ok(found) = look(&mut steps) {
                return found;
            }
            restarts += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use batch::{Batch, BatchBuilder};
    use model::{LabelSet, Matcher};

    use super::*;
    use crate::{HeadConfig, cardinality, matching};

    const SERIES: usize = 3 * STEP_ITEMS;

    /// Another thread changes the head between any two steps of a reader, which is told what to change by the test.
    struct Interrupted<'a> {
        head: &'a Head,
        look: Option<Look<'a>>,
        pauses: usize,
        between: &'a dyn Fn(&Head, usize),
    }

    impl View for Interrupted<'_> {
        fn state(&self) -> &State {
            self.look.as_ref().expect("only gone during a pause").state()
        }

        fn pause(&mut self) -> Result<(), Moved> {
            let removals = self.look.take().expect("only gone during a pause").removals;
            (self.between)(self.head, self.pauses);
            self.pauses += 1;
            let mut look = Look { state: self.head.state.read(), removals, lets_in: true };
            let paused = look.pause();
            self.look = Some(look);
            paused
        }
    }

    fn append(head: &Head, time_ms: i64, names: impl Iterator<Item = usize>) {
        let mut builder = BatchBuilder::new();
        for number in names {
            let series = builder.declare(&LabelSet::from_pairs([("a", &*format!("v{number}")), ("b", "x")]));
            builder.push_declared(series, time_ms, 1.0);
        }
        let batch = Batch::decode(&builder.finish()).expect("a builder writes batches");
        assert_eq!(head.apply(time_ms, &batch).refused(), 0);
    }

    fn interrupted<'a>(head: &'a Head, between: &'a dyn Fn(&Head, usize)) -> Interrupted<'a> {
        let state = head.state.read();
        let removals = state.removals;
        let look = Some(Look { state, removals, lets_in: true });
        Interrupted { head, look, pauses: 0, between }
    }

    fn select(head: &Head, matcher: &Matcher, between: &dyn Fn(&Head, usize)) -> (Result<u64, Moved>, usize) {
        let mut view = interrupted(head, between);
        let found = matching::select(&mut view, std::slice::from_ref(matcher));
        (found.map(|found| found.len()), view.pauses)
    }

    fn filled() -> Head {
        let config = HeadConfig {
            out_of_order_window_ms: 0,
            future_ms_max: 0,
            series_max: u64::MAX,
            exemplars_max: 0,
        };
        let head = Head::new(config);
        append(&head, 1, 0..SERIES);
        head
    }

    #[test]
    fn the_writer_goes_on_while_a_selector_runs_over_many_values() {
        let head = filled();
        let appends = |head: &Head, pause: usize| append(head, 2, 2 * SERIES + pause..2 * SERIES + pause + 1);
        let any = Matcher::new(model::MatchOp::Regex, "a", "v.*5.*").expect("valid");
        let five = |number: usize| number.to_string().contains('5');
        let expected = (0..SERIES).filter(|number| five(*number)).count() as u64;
        let (found, pauses) = select(&head, &any, &appends);
        assert!(pauses >= SERIES / STEP_ITEMS, "{pauses}");
        assert!(found.is_ok_and(|found| found >= expected), "{found:?}: what was there at first is found");
        let none = Matcher::new(model::MatchOp::NotRegex, "a", "v.*").expect("valid");
        assert_eq!(
            select(&head, &none, &appends).0,
            Ok(0),
            "a series that comes meanwhile is not taken for one without"
        );
        assert!(head.stats().series > SERIES as u64 + 4, "series came");
    }

    #[test]
    fn the_writer_goes_on_while_pairs_are_counted() {
        let head = filled();
        let appends = |head: &Head, pause: usize| append(head, 2, 2 * SERIES + pause..2 * SERIES + pause + 1);
        let mut view = interrupted(&head, &appends);
        let counted = cardinality::count(&mut view, SERIES).expect("nothing went");
        assert!(view.pauses >= 2 * SERIES / STEP_ITEMS, "{}", view.pauses);
        let values = |name: &str| {
            let label = counted.labels.iter().find(|label| label.name == name).expect("it is there");
            label.values.count()
        };
        assert!((SERIES..SERIES + view.pauses).contains(&(values("a") as usize)), "{}", values("a"));
        assert_eq!((counted.series, counted.pairs.len()), (SERIES as u64, SERIES));
        assert_eq!((&*counted.pairs[0].name, values("b")), ("b=x", 1));
    }

    #[test]
    fn a_look_during_which_series_go_begins_again() {
        let head = filled();
        append(&head, 5, SERIES..SERIES + 2);
        let any = Matcher::new(model::MatchOp::Regex, "a", "v.*5.*").expect("valid");
        let drops = |head: &Head, pause: usize| {
            if pause == 1 {
                head.drop_before(3);
            }
        };
        assert_eq!(select(&head, &any, &drops).0, Err(Moved));
        let mut tries = 0;
        let found = head.look(|look| {
            tries += 1;
            let found = matching::select(look, &[]);
            if tries == 1 { Err(Moved) } else { found }
        });
        assert_eq!((found.len(), tries), (2, 2));
    }
}
