{{/* Names and labels. */}}
{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "sluice.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sluice.operator.fullname" -}}
{{ include "sluice.fullname" . }}-operator
{{- end -}}

{{- define "sluice.gateway.fullname" -}}
{{ include "sluice.fullname" . }}-gateway
{{- end -}}

{{/* (dict "root" $ "component" "operator") -> labels of everything that belongs to it. */}}
{{- define "sluice.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: sluice
{{ include "sluice.selectorLabels" . }}
{{- end -}}

{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sluice.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.media.image) -> a pullable reference. */}}
{{- define "sluice.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* Pod Security level "restricted", for pods and for containers. */}}
{{- define "sluice.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "sluice.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where pods may run: (.Values.operator or .Values.gateway) -> fields of a pod spec. */}}
{{- define "sluice.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* externalTrafficPolicy of the gateway's Service; nothing with ClusterIP. */}}
{{- define "sluice.gateway.trafficPolicy" -}}
{{- $service := .Values.gateway.service -}}
{{- if ne $service.type "ClusterIP" -}}
{{- default (ternary "Local" "Cluster" (eq $service.type "LoadBalancer")) $service.externalTrafficPolicy -}}
{{- end -}}
{{- end -}}

{{/* Host in the URLs that people paste; empty: the operator reads the load balancer's address. */}}
{{- define "sluice.gateway.publicHost" -}}
{{- if .Values.gateway.publicHost -}}
{{- .Values.gateway.publicHost -}}
{{- else if eq .Values.gateway.service.type "NodePort" -}}
{{- fail "gateway.publicHost is empty: with gateway.service.type=NodePort, give the host name or address under which encoders reach your nodes" -}}
{{- else if eq .Values.gateway.service.type "ClusterIP" -}}
{{- printf "%s.%s.svc.%s" (include "sluice.gateway.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}
{{- end -}}

{{/* Port in the RTMP URLs; empty: the operator reads it off the Service. */}}
{{- define "sluice.gateway.publicRtmpPort" -}}
{{- $gateway := .Values.gateway -}}
{{- if $gateway.publicPorts.rtmp -}}
{{- int $gateway.publicPorts.rtmp -}}
{{- else if eq $gateway.service.type "ClusterIP" -}}
{{- int $gateway.service.ports.rtmp -}}
{{- end -}}
{{- end -}}
