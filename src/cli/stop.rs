//! `sluice abort`, `pause` and `resume`: a person's word to the controller, as an annotation of the
//! DatabaseMigration. Done with the rights of the kubeconfig, as `kubectl annotate` would.

use std::process::ExitCode;

use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::KubeConfigOptions,
};
use serde_json::{Value, json};

use super::{
    Usage,
    print::{complain, print},
};
use crate::{
    api::{ANNOTATION_ABORT, ANNOTATION_PAUSED, DatabaseMigration},
    controller::error::chain,
    visible::visible,
};

/// Who writes the annotations, as the API server records it.
const MANAGER: &str = "sluice-cli";

/// Arguments of `sluice abort`, `pause` and `resume`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The DatabaseMigration.
    #[arg(value_name = "NAME")]
    name: String,

    /// Its namespace. Default: that of the kubeconfig's context.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The context of the kubeconfig. Default: the current one, or inside of a cluster its own.
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// End the run that is under way.
    Abort,
    /// Start nothing new, and no batch of a backfill.
    Pause,
    /// Go on.
    Resume,
}

pub(super) async fn run(order: Order, args: Args) -> Result<ExitCode, Usage> {
    let config = match args.context {
        Some(context) => {
            let options = KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
            Config::from_kubeconfig(&options).await.map_err(|error| Usage(chain(&error)))?
        }
        None => Config::infer().await.map_err(|error| Usage(chain(&error)))?,
    };
    let namespace = args.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| Usage(chain(&error)))?;
    let api: Api<DatabaseMigration> = Api::namespaced(client, &namespace);
    Ok(match give(&api, &args.name, &namespace, order).await {
        Ok(told) => {
            print(&format!("{}\n", visible(&told)))?;
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(&format!("sluice: {}\n", visible(&why)));
            ExitCode::FAILURE
        }
    })
}

async fn give(
    api: &Api<DatabaseMigration>,
    name: &str,
    namespace: &str,
    order: Order,
) -> Result<String, String> {
    let object = api.get_opt(name).await.map_err(|error| chain(&error))?;
    let Some(object) = object else {
        return Err(format!("there is no DatabaseMigration {name:?} in the namespace {namespace:?}"));
    };
    let (annotations, told) = annotations(name, &object, order)?;
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &parameters, &patch).await.map_err(|error| chain(&error))?;
    Ok(told)
}

/// The annotations that give the order, null where one is removed, and what is said then; or why it cannot be
/// given. PURE.
fn annotations(name: &str, object: &DatabaseMigration, order: Order) -> Result<(Value, String), String> {
    match order {
        Order::Abort => {
            let run = object.status.as_ref().and_then(|status| status.run.as_ref());
            let Some(run) = run.filter(|run| run.is_under_way()) else {
                return Err(format!("no run of {name:?} is under way, so there is nothing to abort"));
            };
            let told = format!(
                "aborting the run {:?}: Ready of {name:?} says what is applied once its Pod is gone",
                run.job
            );
            Ok((json!({ANNOTATION_ABORT: run.job}), told))
        }
        Order::Pause => {
            let told = format!(
                "{name:?} is paused: nothing new starts, a backfill stops after its batch, and any other \
                 statement ends first"
            );
            Ok((json!({ANNOTATION_PAUSED: "true"}), told))
        }
        Order::Resume => Ok((json!({ANNOTATION_PAUSED: null}), format!("{name:?} goes on"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(run: &Value) -> DatabaseMigration {
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
            "spec": {"database": {"secretRef": {"name": "db"}}, "migrations": {"configMaps": ["m"]}},
            "status": {"run": run},
        }))
        .expect("a manifest")
    }

    fn under_way() -> DatabaseMigration {
        object(&json!({"job": "records-01234567-a2", "digest": "0123456789", "attempt": 2}))
    }

    #[test]
    fn an_abort_names_the_run_that_is_under_way_and_without_one_it_is_refused() {
        let (found, told) = annotations("records", &under_way(), Order::Abort).expect("a run is under way");
        assert_eq!(found, json!({"sluice.dev/abort": "records-01234567-a2"}));
        assert!(told.contains("records-01234567-a2"), "{told}");
        let ended = json!({"job": "records-01234567-a2", "digest": "0123456789", "attempt": 2,
            "finishedAt": "2026-01-01T00:00:00Z", "reason": "Verified"});
        for nothing in [object(&Value::Null), object(&ended)] {
            let refused = annotations("records", &nothing, Order::Abort).expect_err("there is none");
            assert!(refused.contains("nothing to abort"), "{refused}");
        }
    }

    #[test]
    fn pause_sets_what_resume_removes() {
        let given = |order| annotations("records", &object(&Value::Null), order).expect("is given").0;
        assert_eq!(given(Order::Pause), json!({"sluice.dev/paused": "true"}));
        assert_eq!(given(Order::Resume), json!({"sluice.dev/paused": null}));
    }
}
