//! Which graphs a plan may have: exactly those in which no step waits for itself.

use proptest::prelude::*;
use serde_json::json;
use shared::domain::plan::{MAX_STEPS, Plan, PlanStep};

fn step(id: &str) -> PlanStep {
    serde_json::from_value(json!({"id": id, "action": "template.render"})).expect("a step")
}

/// Up to seven steps and any edges between them: loops, cycles, the same edge twice.
fn graph() -> impl Strategy<Value = Plan> {
    (1..=7_usize).prop_flat_map(|steps| {
        proptest::collection::vec((0..steps, 0..steps), 0..=9).prop_map(move |edges| {
            let mut steps: Vec<_> = (0..steps).map(|n| step(&format!("s{n}"))).collect();
            for (from, to) in edges {
                steps[from].needs.push(format!("s{to}"));
            }
            Plan { steps }
        })
    })
}

/// Whether step `i` waits for step `j`, directly or not (Warshall's algorithm; the plan is checked by Kahn's).
fn waits(plan: &Plan) -> Vec<Vec<bool>> {
    let all = 0..plan.steps.len();
    let needs = |i: usize, j: usize| plan.steps[i].needs.contains(&plan.steps[j].id);
    let mut waits: Vec<Vec<bool>> = all.clone().map(|i| all.clone().map(|j| needs(i, j)).collect()).collect();
    for via in all.clone() {
        for i in all.clone() {
            for j in all.clone() {
                waits[i][j] |= waits[i][via] && waits[via][j];
            }
        }
    }
    waits
}

fn faults(plan: &Plan) -> Vec<String> {
    plan.check_graph("plan").into_iter().map(|fault| fault.field).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_sound_exactly_if_no_step_waits_for_itself(plan in graph()) {
        let waits = waits(&plan);
        let steps = 0..plan.steps.len();
        let faults = faults(&plan);
        prop_assert_eq!(faults.is_empty(), !steps.clone().any(|i| waits[i][i]));
        if let Some(fault) = faults.first() {
            let in_cycles: Vec<_> = steps.filter(|i| waits[*i][*i]).map(|i| format!("plan.steps[{i}].needs")).collect();
            prop_assert!(in_cycles.contains(fault), "{} is not one of {:?}", fault, in_cycles);
        }
    }

    #[test]
    fn the_order_of_the_steps_does_not_matter(
        (one, other) in graph().prop_flat_map(|plan| (Just(plan.clone()), Just(plan.steps).prop_shuffle())),
    ) {
        prop_assert_eq!(faults(&one).is_empty(), faults(&Plan { steps: other }).is_empty());
    }
}

#[test]
fn a_plan_has_from_one_step_to_a_hundred() {
    let of = |count: usize| Plan { steps: (0..count).map(|n| step(&format!("s{n}"))).collect() };
    assert_eq!(faults(&of(0)), ["plan.steps"]);
    assert!(faults(&of(1)).is_empty() && faults(&of(MAX_STEPS)).is_empty());
    assert_eq!(faults(&of(MAX_STEPS + 1)), ["plan.steps"]);
}

#[test]
fn a_step_has_a_name_of_its_own_that_templates_can_use() {
    let longest = "x".repeat(64);
    for good in ["a", "A1_b", &longest] {
        assert!(faults(&Plan { steps: vec![step(good)] }).is_empty(), "{good}");
    }
    let too_long = "x".repeat(65);
    for bad in ["", "1a", "_a", "a-b", "a b", "ä", &too_long] {
        assert_eq!(faults(&Plan { steps: vec![step(bad)] }), ["plan.steps[0].id"], "{bad}");
    }
    assert_eq!(faults(&Plan { steps: vec![step("a"), step("b"), step("a")] }), ["plan.steps[2].id"]);
}

#[test]
fn a_step_needs_only_steps_of_its_plan() {
    let stray = PlanStep { needs: vec!["b".to_owned(), "c".to_owned()], ..step("a") };
    assert_eq!(faults(&Plan { steps: vec![stray, step("b")] }), ["plan.steps[0].needs"]);
}
