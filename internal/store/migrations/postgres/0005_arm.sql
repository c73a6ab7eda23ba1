-- What was done, or tried, through Resource Manager: one row for each write, and one for the end of a long one.
-- subscription is empty for what is above subscriptions.
CREATE TABLE activity (
  seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at           BIGINT NOT NULL,
  tenant       TEXT   NOT NULL,
  subscription TEXT   NOT NULL,
  doc          TEXT   NOT NULL
);
CREATE INDEX activity_at ON activity (tenant, subscription, at);

CREATE TABLE locks (
  subscription TEXT NOT NULL REFERENCES subscriptions (id),
  scope_key    TEXT NOT NULL,
  name_key     TEXT NOT NULL,
  doc          TEXT NOT NULL,
  PRIMARY KEY (scope_key, name_key)
);
CREATE INDEX locks_subscription ON locks (subscription);
