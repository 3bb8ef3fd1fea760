//! Any order of operations, kills and restarts agrees with a model of a few lines.

use proptest::prelude::*;

use super::world::{World, event, ids, interrupted};
use crate::segment::widen;
use ledger::{UsageEvent, UsageEventId};

#[derive(Clone, Debug)]
enum Step {
    Open,
    /// Which of the open holds; none where none is open.
    Settle(prop::sample::Index),
    Forget(prop::sample::Index),
    Apply(usize),
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Open),
        5 => any::<prop::sample::Index>().prop_map(Step::Settle),
        2 => any::<prop::sample::Index>().prop_map(Step::Forget),
        2 => (1..6_usize).prop_map(Step::Apply),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

/// What must be true.
#[derive(Default)]
struct Model {
    open: Vec<UsageEvent>,
    waiting: Vec<UsageEventId>,
}

impl Model {
    fn pick(&mut self, index: prop::sample::Index) -> Option<UsageEvent> {
        let count = self.open.len();
        (count > 0).then(|| self.open.remove(index.index(count)))
    }

    /// The process ends and another begins.
    fn restart(&mut self) -> Vec<UsageEventId> {
        let mut interrupted = ids(&std::mem::take(&mut self.open));
        interrupted.sort_unstable();
        self.waiting.extend(&interrupted);
        interrupted
    }
}

async fn run(steps: Vec<Step>) {
    let small = |options: &mut crate::Options| options.segment_bytes_max = 3_000;
    let mut world = World::with(small);
    let mut model = Model::default();
    for (n, step) in (0..).zip(steps) {
        match step {
            Step::Open => {
                let event = event(n);
                world.journal.open_hold(&interrupted(&event)).await.unwrap();
                model.open.push(event);
            }
            Step::Settle(index) => {
                if let Some(event) = model.pick(index) {
                    world.journal.settle(&event).await.unwrap();
                    model.waiting.push(event.id);
                }
            }
            Step::Forget(index) => {
                if let Some(event) = model.pick(index) {
                    world.journal.forget(event.id).await.unwrap();
                }
            }
            Step::Apply(limit) => {
                if !model.waiting.is_empty() {
                    let batch = world.journal.unapplied(limit).await.unwrap();
                    world.journal.persisted(world.journal.taken(&batch)).await.unwrap();
                    let applied: Vec<_> = model.waiting.drain(..limit.min(model.waiting.len())).collect();
                    assert_eq!(ids(&batch.events), applied);
                }
            }
            Step::Kill | Step::Close => {
                let image = if matches!(step, Step::Kill) {
                    world.image()
                } else {
                    world.journal.close().await.unwrap();
                    world.directory
                };
                world = World::try_in(image, small).unwrap();
                assert_eq!(world.recovery.interrupted, model.restart());
                assert_eq!(world.recovery.unapplied, widen(model.waiting.len()));
                assert!(world.recovery.set_aside.is_empty());
            }
        }
        let stats = world.journal.stats();
        assert_eq!((stats.open_holds, stats.unapplied), (widen(model.open.len()), widen(model.waiting.len())));
        assert_eq!(ids(&world.waiting().await), model.waiting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_order_of_operations_agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
