//! Which paths are the API's. Every other path belongs to the backend and must never be answered here.

/// Whether a request's path, as it came, is one of the API's.
pub fn is_ours(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/api/") else { return false };
    if rest == "admin" || rest.starts_with("admin/") {
        // The operators', whether there is anything or not: a backend that has something there is nobody's to reach.
        return true;
    }
    let mut segments = [""; 5];
    let mut count = 0;
    for segment in rest.split('/') {
        let Some(place) = segments.get_mut(count) else { return false };
        *place = segment;
        count += 1;
    }
    let Some(segments) = segments.get(..count) else { return false };
    match *segments {
        ["organizations", id, "usage"]
        | ["organizations", id, "usage", "me" | "dashboard" | "history" | "management" | "audit" | "quote" | "keys"] => {
            !id.is_empty()
        }
        ["organizations", id, "usage", "events" | "keys", one] => !id.is_empty() && !one.is_empty(),
        _ => false,
    }
}

/// Whether a route's template falls on what is the API's, now or later: what is below `/api/admin` and below an
/// organisation's `usage` must not be metered.
pub fn is_reserved(template: &str) -> bool {
    let mut segments = template.strip_prefix("/api/").unwrap_or_default().split('/');
    match segments.next() {
        Some("admin") => true,
        Some("organizations") => segments.nth(1) == Some("usage"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contracts_paths_are_ours() {
        let ours = [
            "/api/organizations/acme/usage",
            "/api/organizations/acme/usage/me",
            "/api/organizations/a%20b/usage/dashboard",
            "/api/organizations/acme/usage/history",
            "/api/organizations/acme/usage/management",
            "/api/organizations/acme/usage/audit",
            "/api/organizations/acme/usage/quote",
            "/api/organizations/acme/usage/events/evt_1",
            "/api/organizations/acme/usage/keys",
            "/api/organizations/acme/usage/keys/gwk_0123456789abcdef",
            "/api/admin/organizations/acme",
            "/api/admin/organizations/acme/adjustments",
            "/api/admin/organizations/acme/grants",
            "/api/admin/organizations/acme/grants/evt_1",
            "/api/admin/organizations/acme/members/alice",
            "/api/admin/plans/free",
            "/api/admin/event-definitions/structuring_diagnose",
            "/api/admin/plans/free/versions",
            "/api/admin/event-definitions/structuring_diagnose/versions",
            "/api/admin/pricing",
            "/api/admin/pricing/plugins",
            "/api/admin/pricing/rollout",
            "/api/admin/pricing/steps",
            "/api/admin",
            "/api/admin/",
            "/api/admin/users",
            "/api/admin/organizations",
            "/api/admin/organizations/",
            "/api/admin/a/b/c/d/e/f",
        ];
        let others = [
            "/",
            "/api",
            "/api/administration",
            "/admin",
            "/api/organizations/acme",
            "/api/organizations//usage",
            "/api/organizations/acme/usage/",
            "/api/organizations/acme/usage/other",
            "/api/organizations/acme/usage/events",
            "/api/organizations/acme/usage/events/",
            "/api/organizations/acme/usage/keys/",
            "/api/organizations/acme/usage/keys/gwk_1/more",
            "/api/organizations/acme/usage/events/evt_1/more",
            "/api/organizations/acme/structuring/analyze-pain-points",
            "/API/organizations/acme/usage",
        ];
        for path in ours {
            assert!(is_ours(path), "{path}");
        }
        for path in others {
            assert!(!is_ours(path), "{path}");
        }
    }

    #[test]
    fn no_route_may_fall_on_what_is_reserved() {
        for (template, reserved) in [
            ("/api/organizations/{orgId}/usage", true),
            ("/api/organizations/{orgId}/usage/anything", true),
            ("/api/admin/{orgId}/x", true),
            ("/api/organizations/{orgId}/usages", false),
            ("/api/organizations/{orgId}/structuring/usage", false),
            ("/api/{orgId}/admin", false),
            ("/admin/{orgId}", false),
        ] {
            assert_eq!(is_reserved(template), reserved, "{template}");
        }
    }

    #[test]
    fn every_route_is_ours() {
        for path in crate::document().paths.paths.keys() {
            assert!(is_ours(path) && is_reserved(path), "{path}");
        }
    }
}
