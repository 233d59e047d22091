//! Microsoft's own applications that appear in Key Vault's logs. Only ids that Microsoft's documentation prints.

/// An application that Microsoft registered, the same in every tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct App {
    /// Application (client) id, lower case.
    pub app_id: &'static str,
    /// Its name in the directory.
    pub name: &'static str,
    /// `service`: it acts by itself. `public_client`: people and scripts run it under their own name.
    pub kind: &'static str,
}

const fn service(app_id: &'static str, name: &'static str) -> App {
    App { app_id, name, kind: "service" }
}

const fn client(app_id: &'static str, name: &'static str) -> App {
    App { app_id, name, kind: "public_client" }
}

/// All of them.
pub const APPS: &[App] = &[
    service("509e4652-da8d-478d-a730-e9d4a1996ca4", "Azure Resource Graph"),
    service("8cae6e77-e04e-42ce-b5cb-50d82bce26b1", "Microsoft Policy Insights Provider Data Plane"),
    service("abfa0a7c-a6b6-4736-8310-5855508787cd", "Microsoft Azure App Service"),
    service("797f4846-ba00-4fd7-ba43-dac1f8f63013", "Azure Resource Manager"),
    service("cfa8b339-82a2-471a-a3c9-0fc0be7a4093", "Azure Key Vault"),
    service("f3c21649-0979-4721-ac85-b0216b2cf413", "Microsoft.Azure.CertificateRegistration"),
    service("262044b1-e2ce-469f-a196-69ab7ada62d3", "Backup Management Service"),
    service("205478c0-bd83-4e1b-a9d6-db63a3e1e1c8", "Microsoft.AzureFrontDoor-Cdn"),
    service("ad0e1c7e-6d38-4ba4-9efd-0bc77ba9f037", "Microsoft.Azure.Frontdoor"),
    client("04b07795-8ddb-461a-bbee-02f9e1bf7b46", "Azure CLI"),
    client("1950a258-227b-4e31-a9cf-717495945fc2", "Azure PowerShell"),
    client("c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "Azure portal"),
    client("3686488a-04fc-4d8a-b967-61f98ec41efe", "Azure portal, Key Vault blade"),
];

/// The service with this application id; a public client is none, as whoever runs it is the caller.
pub(super) fn is_service(app_id: &str) -> bool {
    APPS.iter().any(|app| app.kind == "service" && app.app_id == app_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_guids_and_each_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for app in APPS {
            let guid = uuid::Uuid::parse_str(app.app_id).expect("a GUID");
            assert_eq!(guid.to_string(), app.app_id, "{}", app.name);
            assert!(seen.insert(app.app_id), "{} stands twice", app.name);
        }
        assert!(is_service("509e4652-da8d-478d-a730-e9d4a1996ca4"));
        assert!(!is_service("04b07795-8ddb-461a-bbee-02f9e1bf7b46"), "the CLI is run by anybody");
    }
}
