{{- define "keyreeve.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "keyreeve.selector" -}}
app.kubernetes.io/name: keyreeve
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "keyreeve.labels" -}}
{{ include "keyreeve.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "keyreeve.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "keyreeve.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "keyreeve.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Volumes that every process of Keyreeve reads; secrets are for their owner and group alone. */ -}}
{{- define "keyreeve.volumes" -}}
- name: config
  configMap: {name: {{ include "keyreeve.name" . }}}
- name: seal-key
  secret:
    secretName: {{ .Values.secrets.sealKey.name }}
    defaultMode: 0440
    items: [{key: {{ .Values.secrets.sealKey.key }}, path: seal.key}]
- name: dsn
  secret:
    secretName: {{ .Values.secrets.dsn.name }}
    defaultMode: 0440
    items: [{key: {{ .Values.secrets.dsn.key }}, path: dsn}]
- name: data
  emptyDir: {}
{{- with .Values.authority.configMap }}
- name: authority
  configMap:
    name: {{ . }}
    items: [{key: {{ $.Values.authority.key }}, path: ca.crt}]
{{- end }}
{{- end -}}

{{- define "keyreeve.mounts" -}}
- {name: config, mountPath: /etc/keyreeve, readOnly: true}
- {name: seal-key, mountPath: /run/secrets/seal-key, readOnly: true}
- {name: dsn, mountPath: /run/secrets/dsn, readOnly: true}
- {name: data, mountPath: /var/lib/keyreeve}
{{- if .Values.authority.configMap }}
- {name: authority, mountPath: /run/secrets/authority, readOnly: true}
{{- end }}
{{- end -}}
