//! Queries that can be stopped. A task is cancelled where it yields, and DataFusion has only the leaves of a plan yield: what
//! makes many rows out of few, such as a join without an equality, runs for hours on one leaf's rows.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, SchedulingType};

/// Has every operator that can multiply rows yield now and then.
#[derive(Debug)]
pub(super) struct Yielding;

impl PhysicalOptimizerRule for Yielding {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let multiplies = !plan.children().is_empty()
                && matches!(plan.cardinality_effect(), CardinalityEffect::Unknown | CardinalityEffect::GreaterEqual);
            if multiplies && plan.properties().scheduling_type != SchedulingType::Cooperative {
                return Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)) as _));
            }
            Ok(Transformed::no(plan))
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "yielding"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
