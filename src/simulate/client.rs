//! Client products as Key Vault logs them: user agent, API version, and the habits that show in a record.

use super::operation::Op;

/// A client product.
#[derive(Debug)]
pub(super) struct Client {
    /// The user agent (`clientInfo`).
    pub(super) agent: &'static str,
    /// API version of its requests (`operationVersion`).
    pub(super) api: &'static str,
    /// Application id of a public client that people run; `None` where the caller brings its own.
    pub(super) app_id: Option<&'static str>,
    /// Its URIs end the path with a slash.
    pub(super) slash: bool,
    /// Its URIs carry a port.
    pub(super) port: &'static str,
    /// It appends `&_=<epoch ms>`, as the portal does.
    pub(super) stamps: bool,
    /// It asks without a token first and so is answered 401 once.
    pub(super) challenged: bool,
}

const fn client(agent: &'static str, api: &'static str) -> Client {
    Client { agent, api, app_id: None, slash: false, port: "", stamps: false, challenged: true }
}

const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0";

const fn portal(app_id: &'static str) -> Client {
    Client { app_id: Some(app_id), stamps: true, challenged: false, ..client(BROWSER, "7.0") }
}

/// Index into [`CLIENTS`].
pub(super) type ClientId = u8;

pub(super) const NET_SECRETS: ClientId = 0;
pub(super) const NET_CONFIG: ClientId = 1;
pub(super) const NET_KEYS: ClientId = 2;
pub(super) const JAVA: ClientId = 3;
pub(super) const PYTHON: ClientId = 4;
pub(super) const GO: ClientId = 5;
pub(super) const NODE: ClientId = 6;
pub(super) const CSI: ClientId = 7;
pub(super) const CLI: ClientId = 8;
pub(super) const POWERSHELL: ClientId = 9;
pub(super) const PORTAL: ClientId = 10;
pub(super) const PORTAL_BLADE: ClientId = 11;
pub(super) const TERRAFORM: ClientId = 12;
pub(super) const PIPELINE: ClientId = 13;
pub(super) const CURL: ClientId = 14;
pub(super) const REQUESTS: ClientId = 15;
pub(super) const ARM: ClientId = 16;
pub(super) const PLATFORM: ClientId = 17;
const PYTHON_KEYS: ClientId = 18;

static CLIENTS: [Client; 19] = [
    Client {
        slash: true,
        ..client("azsdk-net-Security.KeyVault.Secrets/4.7.0 (.NET 8.0.19; Ubuntu 22.04.5 LTS)", "7.5")
    },
    Client {
        slash: true,
        ..client(
            "azsdk-net-Extensions.AspNetCore.Configuration.Secrets/1.4.0 (.NET 8.0.20; Microsoft Windows 10.0.20348)",
            "7.5",
        )
    },
    client("azsdk-net-Security.KeyVault.Keys/4.7.0 (.NET 8.0.19; Ubuntu 22.04.5 LTS)", "7.5"),
    Client {
        port: ":8443",
        ..client("azsdk-java-azure-security-keyvault-secrets/4.9.2 (17.0.14; Linux; 5.15.0-1087-azure)", "7.5")
    },
    Client {
        slash: true,
        ..client(
            "azsdk-python-keyvault-secrets/4.9.0 Python/3.12.6 (Linux-5.15.0-1087-azure-x86_64-with-glibc2.36)",
            "7.5",
        )
    },
    Client { slash: true, port: ":8444", ..client("azsdk-go-azsecrets/v1.3.0 (go1.24.1; linux)", "7.6") },
    client(
        "azsdk-js-keyvault-secrets/4.9.0 core-rest-pipeline/1.19.0 Node/20.18.1 OS/(x64-Linux-5.15.0-1087-azure)",
        "7.5",
    ),
    Client {
        slash: true,
        challenged: false,
        ..client(
            "Go/go1.22.7 (amd64-linux) go-autorest/v14.2.1 keyvault/7.1 secrets-store-csi-driver-provider-azure/v1.5.4",
            "7.1",
        )
    },
    Client {
        app_id: Some("04b07795-8ddb-461a-bbee-02f9e1bf7b46"),
        ..client(
            "AZURECLI/2.64.0 (DEB) azsdk-python-core/1.31.0 Python/3.11.8 (Linux-6.8.0-45-generic-x86_64-with-glibc2.35)",
            "7.4",
        )
    },
    Client {
        app_id: Some("1950a258-227b-4e31-a9cf-717495945fc2"),
        ..client("AzurePowershell/Az.KeyVault/6.3.0 PSVersion/v7.4.6", "7.4")
    },
    portal("c44b4083-3bb0-49c1-b47d-974e53cbdf3c"),
    portal("3686488a-04fc-4d8a-b967-61f98ec41efe"),
    client("HashiCorp Terraform/1.9.8 (+https://www.terraform.io) terraform-provider-azurerm/4.8.0", "7.4"),
    client(
        "azsdk-js-keyvault-secrets/4.7.0 (VSTS_1b7c2e5f_build_211_0) Node/20.17.0 OS/(x64-Linux-6.8.0-1015-azure)",
        "7.5",
    ),
    Client { challenged: false, ..client("curl/8.5.0", "7.4") },
    Client { challenged: false, ..client("python-requests/2.32.3", "7.4") },
    Client { challenged: false, ..client("azure-resource-manager/2.0", "2023-07-01") },
    Client {
        challenged: false,
        ..client("Microsoft.Azure.KeyVault.KeyVaultClient/3.0.5.0 FxVersion/8.0.1025.46610", "7.0")
    },
    Client {
        slash: true,
        ..client(
            "azsdk-python-keyvault-keys/4.10.0 Python/3.12.6 (Linux-5.15.0-1087-azure-x86_64-with-glibc2.36)",
            "7.5",
        )
    },
];

pub(super) fn client_of(id: ClientId) -> &'static Client {
    &CLIENTS[usize::from(id)]
}

/// The client as it shows in this operation: SDKs have one package for secrets and another for keys.
pub(super) fn client_for(id: ClientId, op: Op) -> ClientId {
    match (id, op.facts().collection) {
        (PYTHON, "keys") => PYTHON_KEYS,
        (NET_SECRETS | NET_CONFIG, "keys") => NET_KEYS,
        _ => id,
    }
}
