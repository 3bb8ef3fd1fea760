use super::*;

fn hash(digit: char) -> PluginHash {
    digit.to_string().repeat(64).parse().unwrap()
}

fn share(parts: u16) -> CanaryShare {
    parts.try_into().unwrap()
}

fn shadow(digit: char) -> Step {
    Step::Shadow { sha256: hash(digit) }
}

fn canary(digit: char, parts: u16) -> Step {
    Step::Canary { sha256: hash(digit), share: share(parts) }
}

fn activate(digit: char) -> Step {
    Step::Activate { sha256: hash(digit) }
}

/// `active/canary/shadow`, each by its digit.
fn shown(rollout: &Rollout) -> String {
    let digit = |of: Option<&PluginHash>| of.map_or("-", |hash| &hash.as_str()[..1]).to_owned();
    let canary = rollout.canary.as_ref().map(|canary| &canary.sha256);
    [digit(rollout.active.as_ref()), digit(canary), digit(rollout.shadow.as_ref())].join("/")
}

#[test]
fn each_step_leads_where_its_name_says() {
    let mut rollout = Rollout::default();
    let steps: [(Step, Result<&str, &str>); 17] = [
        (Step::Rollback, Err("nothing_to_roll_back_to")),
        (Step::StopShadow, Err("no_shadow")),
        (shadow('a'), Ok("-/-/a")),
        (shadow('a'), Err("already_shadow")),
        (canary('a', 100), Ok("-/a/a")),
        (canary('a', 100), Err("already_canary")),
        (canary('a', 500), Ok("-/a/a")),
        (activate('a'), Ok("a/-/-")),
        (activate('a'), Err("already_active")),
        (shadow('a'), Err("already_active")),
        (canary('b', 1), Ok("a/b/-")),
        (Step::Rollback, Ok("a/-/-")),
        (activate('b'), Ok("b/-/-")),
        (shadow('a'), Ok("b/-/a")),
        (Step::Rollback, Ok("a/-/-")),
        (Step::Rollback, Ok("-/-/-")),
        (Step::Rollback, Err("nothing_to_roll_back_to")),
    ];
    for (step, want) in steps {
        let after = rollout.after(&step);
        assert_eq!(after.as_ref().map(shown).map_err(StepRefused::code), want.map(str::to_owned), "{step:?}");
        if let Ok(after) = after {
            assert_eq!(after.number, rollout.number + 1, "{step:?}");
            rollout = after;
        }
    }
}

#[test]
fn a_canary_is_taken_back_by_the_number_of_its_own_step_only() {
    let first = Rollout::default().after(&canary('a', 5)).unwrap();
    let again = first.after(&Step::Rollback).unwrap().after(&canary('a', 5)).unwrap();
    let late = Step::TakeBack { number: first.number };
    assert_eq!(again.after(&late).unwrap(), again, "the same plugin, tried anew, is another canary");
    assert_eq!(shown(&again.after(&Step::TakeBack { number: again.number }).unwrap()), "-/-/-");
}

#[test]
fn what_gateways_must_have_is_what_is_asked_and_what_a_rollback_returns_to() {
    let mut rollout = Rollout::default();
    for step in [activate('a'), activate('b'), activate('c'), canary('d', 1), shadow('e')] {
        rollout = rollout.after(&step).unwrap();
    }
    let wanted: Vec<_> = rollout.wanted().map(|hash| &hash.as_str()[..1]).collect();
    assert_eq!(wanted, ["c", "d", "e", "b"]);
}

#[test]
fn rollbacks_reach_back_so_far_and_no_further() {
    let digits: Vec<char> = "0123456789abcdef".chars().collect();
    let mut rollout = Rollout::default();
    for turn in 0..=EARLIER_MAX + 1 {
        rollout = rollout.after(&activate(digits[turn % 16])).unwrap();
    }
    for _ in 0..EARLIER_MAX {
        rollout = rollout.after(&Step::Rollback).unwrap();
    }
    assert_eq!(rollout.after(&Step::Rollback), Err(StepRefused::NothingToRollBackTo));
}

#[test]
fn a_share_holds_about_as_many_as_it_says_and_grows_without_dropping_anybody() {
    let organizations: Vec<OrganizationId> =
        (0..20_000).map(|number| format!("org-{number}").parse().unwrap()).collect();
    let within = |parts| organizations.iter().filter(|id| share(parts).has(id)).count();
    for (parts, least, most) in [(1, 0, 10), (100, 150, 250), (2_500, 4_750, 5_250), (10_000, 20_000, 20_000)] {
        let count = within(parts);
        assert!((least..=most).contains(&count), "{parts} of 10 000 are {count} of 20 000");
    }
    assert!(organizations.iter().all(|id| !share(700).has(id) || share(701).has(id)));
    assert!(CanaryShare::try_from(0).is_err() && CanaryShare::try_from(10_001).is_err());
}

#[test]
fn an_organisations_place_never_changes() {
    for (id, place) in [("acme", 4_367), ("org-1", 4_915), ("org-2", 164)] {
        assert_eq!(place_of(&id.parse().unwrap()), place, "{id}");
    }
}

#[test]
fn a_hash_is_64_lower_case_digits() {
    let good = "0123456789abcdef".repeat(4);
    assert_eq!(good.parse::<PluginHash>().unwrap().as_str(), good);
    for bad in ["", &good[1..], &format!("{good}0"), &good.to_uppercase(), &good.replace('0', "g")] {
        assert!(bad.parse::<PluginHash>().is_err(), "{bad}");
    }
}
