{{- define "name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name if it says what this is, else both. Names a Service, so 63 characters at most. */}}
{{- define "fullname" -}}
{{- $name := include "name" . }}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $both .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "selector" -}}
app.kubernetes.io/name: {{ include "name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of a pod: nothing that a new chart with the same image would change. */}}
{{- define "pod-labels" -}}
{{ include "selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: admission-webhook
app.kubernetes.io/part-of: dask-colocate
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "labels" -}}
{{ include "pod-labels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "metadata" -}}
name: {{ include "fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "labels" . | nindent 2 }}
{{- end }}

{{- define "cluster-metadata" -}}
name: {{ include "fullname" . }}
labels:
  {{- include "labels" . | nindent 2 }}
{{- end }}

{{- define "image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "service-account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "image-pull-secrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "certificate-secret" -}}
{{- if eq .Values.certificates.mode "files" }}{{ required "certificates.mode is files: set certificates.files.secret to the name of a Secret of type kubernetes.io/tls" .Values.certificates.files.secret }}
{{- else }}{{ include "fullname" . }}-certificates{{ end }}
{{- end }}

{{- define "service-host" -}}
{{ include "fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}
