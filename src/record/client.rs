//! The product behind a user agent, without its version, so that a change of client stands out.

use std::sync::LazyLock;

use memchr::memmem::{Finder, find};

/// Building a finder costs more than the search.
static CSI_DRIVER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("secrets-store-csi-driver-provider-azure"));
static TERRAFORM: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("erraform"));

/// Product of a user agent; `None` where it has no text.
pub(super) fn product(agent: &str) -> Option<&str> {
    let agent = agent.trim();
    let bytes = agent.as_bytes();
    if agent.starts_with("Mozilla/") || agent.starts_with("Opera/") {
        return Some("browser");
    }
    if CSI_DRIVER.find(bytes).is_some() {
        return Some("secrets-store-csi-driver-provider-azure");
    }
    if TERRAFORM.find(bytes).is_some() {
        return Some("Terraform");
    }
    // Runtimes that name themselves first and the library later.
    for (runtime, library) in [("FxVersion", "Microsoft.Azure.KeyVault"), ("Go/", "go-autorest"), ("Python/", "azure-")]
    {
        if agent.starts_with(runtime)
            && let Some(at) = find(bytes, library.as_bytes())
        {
            return first_token(&agent[at..]);
        }
    }
    first_token(agent)
}

fn first_token(agent: &str) -> Option<&str> {
    let end = agent.bytes().position(|b| matches!(b, b'/' | b' ' | b'(' | b';' | b',')).unwrap_or(agent.len());
    Some(&agent[..end]).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products() {
        for (agent, name) in [
            (
                "azsdk-net-Security.KeyVault.Secrets/4.5.0 (.NET 8.0.1; Linux)",
                Some("azsdk-net-Security.KeyVault.Secrets"),
            ),
            ("azsdk-go-azsecrets/v1.1.0 (go1.22.4; linux)", Some("azsdk-go-azsecrets")),
            ("AZURECLI/2.61.0 (DEB) azsdk-python-core/1.30.2 Python/3.11.8", Some("AZURECLI")),
            ("AzurePowershell/Az.KeyVault/5.3.0 PSVersion/v7.4.2", Some("AzurePowershell")),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/125.0.0.0", Some("browser")),
            ("curl/8.5.0", Some("curl")),
            ("python-requests/2.32.3", Some("python-requests")),
            (
                "Go/go1.21.9 (amd64-linux) go-autorest/v14.2.1 keyvault/7.1 secrets-store-csi-driver-provider-azure/v1.5.2",
                Some("secrets-store-csi-driver-provider-azure"),
            ),
            ("Go/go1.21.9 (amd64-linux) go-autorest/v14.2.1 keyvault/7.1", Some("go-autorest")),
            (
                "HashiCorp Terraform/1.8.5 (+https://www.terraform.io) terraform-provider-azurerm/3.107.0",
                Some("Terraform"),
            ),
            (
                "FxVersion/8.0.524 OSName/Linux Microsoft.Azure.KeyVault.KeyVaultClient/3.0.5.0",
                Some("Microsoft.Azure.KeyVault.KeyVaultClient"),
            ),
            ("azure-resource-manager/2.0", Some("azure-resource-manager")),
            (
                "Microsoft.Data.SqlClient AzureKeyVaultProvider azsdk-net-Security.KeyVault.Keys/4.4.0",
                Some("Microsoft.Data.SqlClient"),
            ),
            ("  ", None),
            ("(unknown)", None),
        ] {
            assert_eq!(product(agent), name, "{agent}");
        }
    }
}
