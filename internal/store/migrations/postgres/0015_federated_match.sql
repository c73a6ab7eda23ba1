-- A client may have thousands of federated credentials: a sign-in reads those of one issuer and subject.
DROP INDEX federated_credentials_app;
CREATE INDEX federated_credentials_match ON federated_credentials (app_id, issuer, subject);
