//! Who is in the demo, and what to try as whom.

use std::net::SocketAddr;
use std::path::Path;

use ledger::{Actor, Change, Directory, Member, NewOrganization, Role, SubscriptionStatus, Timestamp};
use standin::Person;

/// An organisation of the demo.
pub(super) struct Company {
    pub(super) id: &'static str,
    name: &'static str,
    plan: &'static str,
    /// First names; each has the role of that place in [`Role::ALL`].
    pub(super) people: [&'static str; 5],
}

/// Acme has credit to spare; Globex is on the free plan and nearly out.
pub(super) const COMPANIES: [Company; 2] = [
    Company { id: "acme", name: "Acme Works", plan: "professional", people: ["alice", "adam", "mia", "vera", "ben"] },
    Company { id: "globex", name: "Globex", plan: "free", people: ["gina", "greg", "gus", "gwen", "gil"] },
];
const OPERATOR: &str = "operator";

/// Makes organisations and members.
pub(super) async fn settle_in(directory: &dyn Directory, now: Timestamp) -> anyhow::Result<()> {
    let actor = Actor {
        user_id: OPERATOR.to_owned(),
        role: "platform_admin".to_owned(),
        remote_address: None,
        request_id: None,
    };
    let change = Change { actor, at: now };
    for company in &COMPANIES {
        let new = NewOrganization {
            organization_id: company.id.parse()?,
            name: company.name.to_owned(),
            plan: company.plan.parse()?,
            subscription_status: SubscriptionStatus::Active,
            usage_limits: None,
        };
        directory.put_organization(&new, &change).await?;
        for (name, role) in company.people.into_iter().zip(Role::ALL) {
            let member = Member {
                user_id: name.parse()?,
                role,
                name: Some(capitalised(name)),
                email: Some(format!("{name}@{}.example", company.id)),
                monthly_credits: None,
            };
            directory.put_member(&new.organization_id, &member, &change).await?;
        }
    }
    Ok(())
}

/// A file name and a person for each credential.
pub(super) fn credentials() -> Vec<(String, Person)> {
    let of = |company: &Company, name: &str| {
        (name.to_owned(), Person::new(name).named(capitalised(name), format!("{name}@{}.example", company.id)))
    };
    let mut all: Vec<_> = COMPANIES.iter().flat_map(|company| company.people.map(|name| of(company, name))).collect();
    all.push((OPERATOR.to_owned(), Person::operator(OPERATOR)));
    all
}

/// What the demo prints.
pub(super) fn what_to_try(address: SocketAddr, admin: SocketAddr, folder: &Path) -> Vec<String> {
    let folder = folder.display();
    let bearer = |name: &str| format!("-H \"Authorization: Bearer $(cat {folder}/{name})\"");
    let json = "-H 'Content-Type: application/json'";
    let text = "Support tickets pile up because nobody owns the queue. ".repeat(24);
    let mut lines = vec![
        String::new(),
        format!("The gateway serves at      http://{address}"),
        format!("Operators look at          http://{admin}/metrics  /healthz  /readyz  /openapi.json"),
        format!("Credentials are in         {folder}/NAME, good for eight hours"),
        String::new(),
    ];
    for company in &COMPANIES {
        let people = company.people.iter().zip(Role::ALL).map(|(name, role)| format!("{name} ({})", role.as_str()));
        lines.push(format!("  {:<8} {:<13} {}", company.id, company.plan, people.collect::<Vec<_>>().join(", ")));
    }
    lines.extend([
        format!("  {OPERATOR:<8} of the platform"),
        String::new(),
        "A charge: 10 × 2.0 for the text's length + 5 + 3, so 28 credits".to_owned(),
        format!(
            "  curl -i http://{address}/api/organizations/acme/structuring/analyze-pain-points {} {json} -d '{{\"content\": [\"{}\"], \"echo\": true, \"traceback\": true, \"sessionId\": \"demo\"}}'",
            bearer("alice"),
            text.trim_end()
        ),
        String::new(),
        "A refusal: Globex has 10 credits left, and this call needs 28".to_owned(),
        format!(
            "  curl -i http://{address}/api/organizations/globex/structuring/analyze-pain-points {} {json} -d '{{\"content\": [\"{}\"], \"echo\": true, \"traceback\": true}}'",
            bearer("gina"),
            text.trim_end()
        ),
        String::new(),
        "The dashboard".to_owned(),
        format!("  curl -s http://{address}/api/organizations/acme/usage/dashboard {}", bearer("alice")),
        String::new(),
        "Ctrl-C ends the demo and removes what it made.".to_owned(),
    ]);
    lines
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
