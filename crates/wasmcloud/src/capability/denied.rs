//! What the host's log is told about components that want to go where they may not.

use std::fmt::Display;

use crate::plugin::{ComponentContext, Telling, WorkloadContext};
use crate::policy::{Denial, EgressPolicy, Verdict};

/// Whether a verdict lets pass. What it denies, or would deny, is told to the host's log: `what` the component wants, such as "an
/// HTTP request to http://example.com", and what to do about it.
pub(super) fn passes(
    workload: &WorkloadContext,
    component: &ComponentContext,
    what: &dyn Display,
    verdict: Verdict,
    policy: &EgressPolicy,
) -> bool {
    let tell = |denial: &Denial, fate: &str| {
        let hint = policy.hint(denial);
        tell(workload, component, what, fate, denial, hint);
    };
    match verdict {
        Verdict::Allowed => true,
        Verdict::Audited(denial) => {
            let fate = "would be denied, and passes as the policy is only audited";
            tell(&denial, fate);
            true
        }
        Verdict::Denied(denial) => {
            tell(&denial, "is denied");
            false
        }
    }
}

/// Once for each component and reason: guests seldom say why something fails, but they may try often.
pub(super) fn tell(
    workload: &WorkloadContext,
    component: &ComponentContext,
    what: &dyn Display,
    fate: &str,
    denial: &dyn Display,
    hint: &str,
) {
    let more = match component.told.tell(&format!("{what} {denial}")) {
        Telling::Known => return,
        Telling::New => "",
        Telling::Last => "; no more of this component is told",
    };
    tracing::warn!(
        workload = %workload,
        component = %component.name,
        "{what} {fate}: {denial}; {hint}{more}"
    );
}
