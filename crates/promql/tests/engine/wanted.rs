//! What the engine asks of the data: the newest sample where one is enough, all of them elsewhere.

use std::future::ready;
use std::sync::{Arc, Mutex};

use promql::{Engine, EngineConfig, QueryOptions};
use storage::{SeriesSet, Wanted};

use crate::data::answers;

/// Returns what the selectors of a query want, in order; at one time, or at two.
async fn wanted(query: &str, steps: i64) -> Vec<Wanted> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let data = {
        let asked = Arc::clone(&asked);
        answers(move |request| {
            asked.lock().expect("no panic holds it").push(request.wanted);
            ready(Ok(SeriesSet::default()))
        })
    };
    let (engine, options) = (Engine::new(EngineConfig::default()), QueryOptions::default());
    let result = match steps {
        1 => engine.instant(data, query, 0, &options).await,
        _ => engine.range(data, query, 0, (steps - 1) * 1000, 1000, &options).await,
    };
    result.expect("nothing is selected");
    let asked = asked.lock().expect("no panic holds it");
    asked.clone()
}

#[tokio::test]
async fn one_step_of_an_instant_selector_wants_the_newest_sample() {
    assert_eq!(wanted("m", 1).await, [Wanted::Newest]);
    assert_eq!(wanted("sum(m) + timestamp(m)", 1).await, [Wanted::Newest]);
    assert_eq!(wanted("m", 3).await, [Wanted::All]);
    assert_eq!(wanted("rate(m[5m])", 1).await, [Wanted::All]);
    assert_eq!(wanted("m + last_over_time(m[5m])", 1).await, [Wanted::Newest, Wanted::All]);
    assert_eq!(wanted("max_over_time(m[5m:1m])", 1).await, [Wanted::All]);
}
