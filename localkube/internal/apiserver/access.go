package apiserver

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	config "k8s.io/apiserver/pkg/apis/apiserver/v1"
)

const (
	// tokenCacheTTL is how long a token that was good stays good without being looked at again. The API server's own
	// default is 10 s and no flag changes it.
	tokenCacheTTL = 500 * time.Millisecond
	// webhookTimeout bounds one question to the authorization webhook.
	webhookTimeout = 3 * time.Second
	// authorizerName names ours among the authorizers, in metrics.
	authorizerName = "keyreeve"
	// notSystem matches the users that the webhook decides about.
	notSystem = "!request.user.startsWith('system:')"
)

// webhookRetry bounds how long a request waits for a webhook that answers with an error.
func webhookRetry() *wait.Backoff {
	return &wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 3}
}

// authenticationConfig lets nobody in without credentials, except to ask whether the server is well.
func authenticationConfig() *config.AuthenticationConfiguration {
	return &config.AuthenticationConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: config.SchemeGroupVersion.String(), Kind: "AuthenticationConfiguration"},
		JWT:      []config.JWTAuthenticator{},
		Anonymous: &config.AnonymousAuthConfig{
			Enabled:    true,
			Conditions: []config.AnonymousAuthCondition{{Path: "/livez"}, {Path: "/readyz"}, {Path: "/healthz"}},
		},
	}
}

// authorizationConfig asks the webhook first. An answer that cannot be had is a denial, and none is remembered.
func authorizationConfig(kubeconfig string) *config.AuthorizationConfiguration {
	never := false
	return &config.AuthorizationConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: config.SchemeGroupVersion.String(), Kind: "AuthorizationConfiguration"},
		Authorizers: []config.AuthorizerConfiguration{
			{Type: string(config.TypeWebhook), Name: authorizerName, Webhook: &config.WebhookConfiguration{
				AuthorizedTTL:                            metav1.Duration{Duration: time.Millisecond},
				CacheAuthorizedRequests:                  &never,
				UnauthorizedTTL:                          metav1.Duration{Duration: time.Millisecond},
				CacheUnauthorizedRequests:                &never,
				Timeout:                                  metav1.Duration{Duration: webhookTimeout},
				SubjectAccessReviewVersion:               "v1",
				MatchConditionSubjectAccessReviewVersion: "v1",
				FailurePolicy:                            config.FailurePolicyDeny,
				ConnectionInfo: config.WebhookConnectionInfo{
					Type: config.AuthorizationWebhookConnectionInfoTypeKubeConfigFile, KubeConfigFile: &kubeconfig,
				},
				MatchConditions: []config.WebhookMatchCondition{{Expression: notSystem}},
			}},
			{Type: "Node", Name: "node"},
			{Type: "RBAC", Name: "rbac"},
		},
	}
}
