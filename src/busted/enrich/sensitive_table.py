"""Files that hold secrets or steer agents, as rows of `busted.enrich.sensitive.Sensitive`.

Names are those that the tools' own documentation gives. An operator adds rows in the
configuration file. Left out: what only looks like a secret, as public keys, certificates and
examples do.
"""

from __future__ import annotations

from busted.enrich.sensitive import Sensitive

SENSITIVE: tuple[Sensitive, ...] = (
    Sensitive(
        "environment",
        (".env", ".env.*", ".envrc"),
        but=(".env.example", ".env.sample", ".env.template", ".env.dist"),
    ),
    Sensitive(
        "ssh",
        (".ssh/", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "/etc/ssh/ssh_host_*"),
        but=(".ssh/known_hosts", ".ssh/*.pub", "/etc/ssh/*.pub"),
    ),
    Sensitive("gpg", (".gnupg/", "secring.gpg")),
    Sensitive(
        "key",
        ("*.key", "*-key.pem", "privkey*.pem", "key.pem", "*.p12", "*.pfx", "*.jks", "*.kdbx"),
    ),
    Sensitive(
        "cloud",
        (
            *(".aws/credentials", ".aws/config", ".aws/sso/cache/", ".boto", ".s3cfg"),
            *("application_default_credentials.json", "credentials.db", "access_tokens.db"),
            *(
                ".azure/accessTokens.json",
                "msal_token_cache.json",
                "service_principal_entries.json",
            ),
            *(".kube/config", "kubeconfig", "terraform.tfstate", ".terraformrc", "*.tfvars"),
            *(".config/doctl/", ".oci/config", ".vault-token", "serviceaccount/token"),
        ),
    ),
    Sensitive(
        "credentials",
        (
            *(".netrc", "_netrc", ".pgpass", ".my.cnf", ".git-credentials", ".npmrc", ".pypirc"),
            *(".docker/config.json", ".config/gh/hosts.yml", ".cargo/credentials.toml"),
            *("credentials", "credentials.json", "secrets.yaml", "secrets.yml", "secrets.json"),
            *("secrets.toml", ".htpasswd", ".rclone.conf", "rclone.conf", ".gem/credentials"),
            *(
                "/etc/shadow",
                "/etc/gshadow",
                "/etc/sudoers",
                "Login Data",
                "logins.json",
                "key4.db",
            ),
        ),
    ),
    Sensitive(
        "history",
        (".bash_history", ".zsh_history", ".python_history", ".psql_history", ".mysql_history"),
    ),
    Sensitive(
        "agent",
        (
            *(".claude/", ".claude.json", "CLAUDE.md", "CLAUDE.local.md", "AGENTS.md"),
            *(".codex/", ".cursor/", ".cursorrules", ".gemini/", "GEMINI.md", ".qwen/"),
            *(".aider.conf.yml", ".opencode/", "opencode.json", ".windsurf/", ".windsurfrules"),
            *(".continue/", ".github/copilot-instructions.md", ".copilot/", ".goosehints"),
            *("skills/*/SKILL.md",),
        ),
    ),
    Sensitive("mcp", (".mcp.json", "mcp.json", "mcp_config.json", "claude_desktop_config.json")),
)
