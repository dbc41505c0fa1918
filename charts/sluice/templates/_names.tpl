{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* An image reference; takes {image, root}. A digest wins over a tag. */ -}}
{{- define "sluice.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* Who the controller is to the API server; the guards know it by this name. */ -}}
{{- define "sluice.username" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "sluice.fullname" .) -}}
{{- end -}}

{{- /* Not empty when the guards are rendered: validating policies exist on every supported version. */ -}}
{{- define "sluice.guards" -}}
{{- if ne (toString .Values.policies.enabled) "false" -}}yes{{- end -}}
{{- end -}}

{{- /* Not empty when hold and gate are rendered: mutating policies exist from Kubernetes 1.36. */ -}}
{{- define "sluice.mutating" -}}
{{- $enabled := toString .Values.policies.enabled -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy")) -}}yes{{- end -}}
{{- end -}}
