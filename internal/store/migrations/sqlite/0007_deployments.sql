-- Deployments of templates. group_key is empty for those of a subscription; input holds the template and the values of its
-- parameters, sealed, for work goes on with them after a restart.
CREATE TABLE deployments (
  id_key       TEXT    NOT NULL PRIMARY KEY,
  subscription TEXT    NOT NULL REFERENCES subscriptions (id),
  group_key    TEXT    NOT NULL,
  started_at   INTEGER NOT NULL,
  doc          TEXT    NOT NULL,
  input        BLOB
);
CREATE INDEX deployments_scope ON deployments (subscription, group_key, started_at);
