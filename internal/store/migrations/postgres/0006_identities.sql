-- User-assigned managed identities. principal is the object id of the service principal.
CREATE TABLE identities (
  resource_key TEXT NOT NULL PRIMARY KEY,
  subscription TEXT NOT NULL,
  principal    TEXT NOT NULL UNIQUE,
  doc          TEXT NOT NULL
);
CREATE INDEX identities_subscription ON identities (subscription, resource_key);

-- Hosts outside clusters, to which identities are assigned. secret is the SHA-256 of what a host shows, so a copy of the
-- database gets no token.
CREATE TABLE identity_hosts (
  resource_key TEXT NOT NULL PRIMARY KEY,
  subscription TEXT NOT NULL,
  secret       TEXT NOT NULL,
  doc          TEXT NOT NULL
);
CREATE INDEX identity_hosts_subscription ON identity_hosts (subscription, resource_key);
