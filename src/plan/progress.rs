//! Which Pod the controller may ask how far a run of a DatabaseMigration is. PURE.

use super::{facts::Facts, run::progress, situation::known};

pub use progress::Target;

/// The Pod of the run that goes on.
pub fn target(facts: &Facts) -> Option<Target> {
    progress::target(&known(facts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::Stage,
        plan::{
            digest,
            facts::StageState,
            fixture::{facts, run},
            run::name::job_name,
        },
    };

    #[test]
    fn only_the_pod_of_sluices_own_run_is_asked_and_only_while_a_stage_works() {
        let asked = |change: fn(&mut Facts)| {
            let mut facts = facts();
            let desired = digest::desired(&facts).expect("a digest");
            let mut run = run();
            run.job = job_name(&facts.name, &desired, 1, run.leg);
            run.digest = desired;
            let pod = run.pod.as_mut().expect("a Pod");
            pod.address = Some("10.0.0.7".to_owned());
            pod.stages.insert(Stage::Plan, StageState::Running);
            facts.runs = vec![run];
            change(&mut facts);
            target(&facts).map(|target| target.address)
        };
        assert_eq!(asked(|_| ()), Some("10.0.0.7".to_owned()), "the control");
        assert_eq!(asked(|facts| facts.runs[0].fingerprint = "other work".into()), None);
        assert_eq!(asked(|facts| facts.runs[0].pod_differs = Some("spec".into())), None);
        assert_eq!(asked(|facts| facts.runs[0].job = "records-x-a1".into()), None);
        assert_eq!(asked(|facts| facts.runs[0].deleting = true), None);
        assert_eq!(asked(|facts| facts.runs[0].pod.as_mut().expect("a Pod").address = None), None);
        let unknown = |facts: &mut Facts| facts.runs[0].pod.as_mut().expect("a Pod").stages.clear();
        assert_eq!(asked(unknown), None);
    }
}
